//! Fuzzes the gRPC API with arbitrary messages of an authenticated client.

use prost::Message;

use super::files::Collection;
use super::message::{
    self, GenericGetRequest, GroupGetRequest, GroupPutRequest, IgnitionPutRequest, ProfileGetRequest,
    ProfilePutRequest, SelectGroupRequest,
};
use super::subject::subject;
use crate::fuzz::script::Script;
use crate::matchbox::model::{Group, Profile};

/// Parses a request of the method that the first byte selects, and handles it as far as no disk is needed: it can be
/// encoded again, its name stays in its folder, and what would be stored can be read back.
pub(crate) fn message(data: &[u8]) {
    let mut script = Script::new(data);
    let which = script.byte();
    let rest = data.get(1..).unwrap_or_default();
    match which % 8 {
        0 => drop(read::<GroupPutRequest>(rest).and_then(|request| request.group).map(group)),
        1 => drop(read::<ProfilePutRequest>(rest).and_then(|request| request.profile).map(profile)),
        2 => name(Collection::Groups, read::<GroupGetRequest>(rest).map(|request| request.id)),
        3 => name(Collection::Profiles, read::<ProfileGetRequest>(rest).map(|request| request.id)),
        4 => name(Collection::Ignition, read::<IgnitionPutRequest>(rest).map(|request| request.name)),
        5 => name(Collection::Generic, read::<GenericGetRequest>(rest).map(|request| request.name)),
        6 => drop(read::<SelectGroupRequest>(rest)),
        _ => drop(subject(rest)),
    }
}

fn read<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    let again = M::decode(&*message.encode_to_vec()).expect("it was written by us");
    assert_eq!(again, message);
    Some(message)
}

fn name(collection: Collection, name: Option<String>) {
    let Some(Ok(entry)) = name.map(|name| collection.entry(&name)) else { return };
    let within = ["groups", "profiles", "ignition", "generic"];
    let mut parts = entry.split('/');
    assert!(parts.next().is_some_and(|first| within.contains(&first)), "{entry}");
    assert!(
        parts.all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0')),
        "{entry}"
    );
}

fn group(sent: message::Group) {
    let Ok(group) = Group::try_from(sent) else { return };
    let stored = group.write();
    match Group::read(stored.as_bytes()) {
        Ok(back) => {
            // MAC addresses are normalised, and empty fields are not written.
            assert_eq!((&back.id, &back.name, &back.profile), (&group.id, &group.name, &group.profile));
            assert!(back.selector.keys().eq(group.selector.keys()));
            assert_eq!(back.metadata.unwrap_or_default().len(), group.metadata.unwrap_or_default().len());
        }
        Err(error) => assert!(error.to_string().ends_with("invalid MAC address"), "{error}: {stored}"),
    }
}

fn profile(sent: message::Profile) {
    let Ok(profile) = Profile::try_from(sent) else { return };
    let stored = profile.write();
    assert_eq!(Profile::read(stored.as_bytes()).as_ref(), Ok(&profile), "{stored}");
}
