//! What each method does to the data directory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Map, Value};

use super::error::RpcError;
use super::files::{Collection, Files};
use super::message::{
    self, ConfigResponse, Done, GenericDeleteRequest, GenericGetRequest, GenericPutRequest,
    GroupDeleteRequest, GroupGetRequest, GroupGetResponse, GroupListRequest, GroupListResponse,
    GroupPutRequest, IgnitionDeleteRequest, IgnitionGetRequest, IgnitionPutRequest, NetBoot,
    ProfileDeleteRequest, ProfileGetRequest, ProfileGetResponse, ProfileListRequest, ProfileListResponse,
    ProfilePutRequest, Request, SelectGroupRequest, SelectProfileRequest,
};
use crate::matchbox::go::json;
use crate::matchbox::labels::Labels;
use crate::matchbox::model::{self, Group, ModelError, Profile};
use crate::matchbox::select::{Groups, Named};
use crate::plan::DataEntry;

/// A data directory with the lab file's entries.
#[derive(Debug)]
pub struct Store {
    files: Files,
}

impl Store {
    /// Opens a data directory, which may be missing, and removes files that a killed process left incomplete.
    ///
    /// Entries of the lab file are visible beside it, but cannot be changed by requests.
    pub fn open(data: &Path, added: BTreeMap<String, DataEntry>) -> io::Result<Self> {
        Ok(Self { files: Files::open(data, added)? })
    }

    fn group(&self, id: &str) -> Result<Group, RpcError> {
        Ok(Group::read(&self.files.read(Collection::Groups, id)?)?)
    }

    fn profile(&self, id: &str) -> Result<Profile, RpcError> {
        Ok(Profile::read(&self.files.read(Collection::Profiles, id)?)?)
    }

    /// Returns every group that can be read, with its name. Others are omitted, as in matchbox.
    fn groups(&self) -> Result<Vec<(String, Group)>, RpcError> {
        let names = self.files.names(Collection::Groups)?.into_iter();
        Ok(names.filter_map(|name| self.group(&name).ok().map(|group| (name, group))).collect())
    }

    fn select(&self, labels: &Labels) -> Result<Group, RpcError> {
        let mut groups = Groups::default();
        self.groups()?.into_iter().for_each(|(name, group)| groups.insert(Named::new(name, group)));
        let found = groups.select(labels).ok_or_else(|| RpcError::not_found("Group"))?;
        Ok(found.group.clone())
    }
}

/// A request that a store can answer.
pub(super) trait Answer: Request {
    /// Answers it. May block on a disk.
    fn answer(self, store: &Store) -> Result<<Self as Request>::Answer, RpcError>;
}

impl Answer for GroupPutRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        let group = self.group.ok_or_else(|| RpcError::invalid("the request has no group"))?;
        let group = Group::try_from(group)?;
        store.files.write(Collection::Groups, &group.id, group.write().as_bytes())?;
        Ok(Done {})
    }
}

impl Answer for GroupGetRequest {
    fn answer(self, store: &Store) -> Result<GroupGetResponse, RpcError> {
        Ok(GroupGetResponse { group: Some(store.group(&self.id)?.into()) })
    }
}

impl Answer for GroupDeleteRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        store.files.remove(Collection::Groups, &self.id)?;
        Ok(Done {})
    }
}

impl Answer for GroupListRequest {
    fn answer(self, store: &Store) -> Result<GroupListResponse, RpcError> {
        Ok(GroupListResponse { groups: store.groups()?.into_iter().map(|(_, group)| group.into()).collect() })
    }
}

impl Answer for ProfilePutRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        let profile = self.profile.ok_or_else(|| RpcError::invalid("the request has no profile"))?;
        let profile = Profile::try_from(profile)?;
        store.files.write(Collection::Profiles, &profile.id, profile.write().as_bytes())?;
        Ok(Done {})
    }
}

impl Answer for ProfileGetRequest {
    fn answer(self, store: &Store) -> Result<ProfileGetResponse, RpcError> {
        Ok(ProfileGetResponse { profile: Some(store.profile(&self.id)?.into()) })
    }
}

impl Answer for ProfileDeleteRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        store.files.remove(Collection::Profiles, &self.id)?;
        Ok(Done {})
    }
}

impl Answer for ProfileListRequest {
    fn answer(self, store: &Store) -> Result<ProfileListResponse, RpcError> {
        let names = store.files.names(Collection::Profiles)?;
        let profiles = names.iter().filter_map(|name| store.profile(name).ok());
        Ok(ProfileListResponse { profiles: profiles.map(Into::into).collect() })
    }
}

impl Answer for IgnitionPutRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        store.files.write(Collection::Ignition, &self.name, &self.config)?;
        Ok(Done {})
    }
}

impl Answer for IgnitionGetRequest {
    fn answer(self, store: &Store) -> Result<ConfigResponse, RpcError> {
        Ok(ConfigResponse { config: store.files.read(Collection::Ignition, &self.name)? })
    }
}

impl Answer for IgnitionDeleteRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        store.files.remove(Collection::Ignition, &self.name)?;
        Ok(Done {})
    }
}

impl Answer for GenericPutRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        store.files.write(Collection::Generic, &self.name, &self.config)?;
        Ok(Done {})
    }
}

impl Answer for GenericGetRequest {
    fn answer(self, store: &Store) -> Result<ConfigResponse, RpcError> {
        Ok(ConfigResponse { config: store.files.read(Collection::Generic, &self.name)? })
    }
}

impl Answer for GenericDeleteRequest {
    fn answer(self, store: &Store) -> Result<Done, RpcError> {
        store.files.remove(Collection::Generic, &self.name)?;
        Ok(Done {})
    }
}

/// Labels are compared as they are: clients must send MAC addresses in lower case with colons.
impl Answer for SelectGroupRequest {
    fn answer(self, store: &Store) -> Result<GroupGetResponse, RpcError> {
        Ok(GroupGetResponse { group: Some(store.select(&self.labels)?.into()) })
    }
}

impl Answer for SelectProfileRequest {
    fn answer(self, store: &Store) -> Result<ProfileGetResponse, RpcError> {
        let group = store.select(&self.labels).map_err(|_| RpcError::not_found("Group"))?;
        let profile = store.profile(&group.profile).map_err(|_| RpcError::not_found("Profile"))?;
        Ok(ProfileGetResponse { profile: Some(profile.into()) })
    }
}

/// Parses metadata as Go does: an object, or nothing.
fn read_metadata(metadata: &[u8]) -> Result<Option<Map<String, Value>>, RpcError> {
    if metadata.is_empty() {
        return Ok(None);
    }
    let other = match json::read(metadata).map_err(|error| RpcError::unknown(error.to_string()))? {
        Value::Object(object) => return Ok(Some(object)),
        Value::Null => return Ok(None),
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    Err(RpcError::unknown(format!(
        "json: cannot unmarshal {other} into Go value of type map[string]interface {{}}"
    )))
}

impl From<ModelError> for RpcError {
    fn from(error: ModelError) -> Self {
        Self::unknown(error.to_string())
    }
}

impl TryFrom<message::Group> for Group {
    type Error = RpcError;

    fn try_from(group: message::Group) -> Result<Self, RpcError> {
        let message::Group { id, name, profile, selector, metadata } = group;
        let mut group = Self { id, name, profile, selector, metadata: None };
        group.check()?;
        group.metadata = read_metadata(&metadata)?;
        Ok(group)
    }
}

impl TryFrom<message::Profile> for Profile {
    type Error = RpcError;

    fn try_from(profile: message::Profile) -> Result<Self, RpcError> {
        let message::Profile { id, name, ignition_id, cloud_id, boot, generic_id } = profile;
        let boot = boot.map(|NetBoot { kernel, initrd, args }| model::NetBoot { kernel, initrd, args });
        let profile = Self { id, name, ignition_id, cloud_id, boot, generic_id };
        profile.check()?;
        Ok(profile)
    }
}

impl From<Group> for message::Group {
    fn from(Group { id, name, profile, selector, metadata }: Group) -> Self {
        let metadata = metadata.map(|object| json::write(&object.into()).into_bytes()).unwrap_or_default();
        Self { id, name, profile, selector, metadata }
    }
}

impl From<Profile> for message::Profile {
    fn from(Profile { id, name, ignition_id, cloud_id, boot, generic_id }: Profile) -> Self {
        // Always set: the Terraform provider reads it unconditionally.
        let model::NetBoot { kernel, initrd, args } = boot.unwrap_or_default();
        Self { id, name, ignition_id, cloud_id, boot: Some(NetBoot { kernel, initrd, args }), generic_id }
    }
}

#[cfg(test)]
mod tests;
