//! What goes over the wire: the messages of `proto/`, and which answer belongs to which request.
//!
//! Written by hand, because there are few and no generator has to be run for
//! them. That both say the same is shown by clients that are generated from
//! `proto/` in the tests.

use std::collections::BTreeMap;

use prost::Message;

/// A request: how its method is called and what answers it.
pub trait Request: Message + Default + 'static {
    /// `/PACKAGE.SERVICE/METHOD`.
    const PATH: &'static str;
    /// What answers it.
    type Answer: Message + Default + 'static;
}

/// Machines of which every label of the selector holds get the profile.
#[derive(Clone, PartialEq, Message)]
pub struct Group {
    /// Its name, and that of its file.
    #[prost(string, tag = "1")]
    pub id: String,
    /// A name for people.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The id of the profile.
    #[prost(string, tag = "3")]
    pub profile: String,
    /// The labels that a machine must have.
    #[prost(btree_map = "string, string", tag = "4")]
    pub selector: BTreeMap<String, String>,
    /// A JSON object, for templates.
    #[prost(bytes = "vec", tag = "5")]
    pub metadata: Vec<u8>,
}

/// What machines boot, and which configs they are handed.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// Its name, and that of its file.
    #[prost(string, tag = "1")]
    pub id: String,
    /// A name for people.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The name of an Ignition or Butane config.
    #[prost(string, tag = "3")]
    pub ignition_id: String,
    /// The name of a cloud-config.
    #[prost(string, tag = "4")]
    pub cloud_id: String,
    /// What a machine boots. In answers it is always there: the Terraform provider counts on it.
    #[prost(message, optional, tag = "5")]
    pub boot: Option<NetBoot>,
    /// The name of a template of any kind.
    #[prost(string, tag = "6")]
    pub generic_id: String,
}

/// A kernel with all that it needs.
#[derive(Clone, PartialEq, Message)]
pub struct NetBoot {
    /// URL of the kernel.
    #[prost(string, tag = "1")]
    pub kernel: String,
    /// URLs of initial RAM disks.
    #[prost(string, repeated, tag = "2")]
    pub initrd: Vec<String>,
    /// Arguments of the kernel.
    #[prost(string, repeated, tag = "4")]
    pub args: Vec<String>,
}

/// Puts a group, in place of one with its id if there is one.
#[derive(Clone, PartialEq, Message)]
pub struct GroupPutRequest {
    /// The group.
    #[prost(message, optional, tag = "1")]
    pub group: Option<Group>,
}

/// Asks for a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupGetRequest {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Answers with a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupGetResponse {
    /// The group.
    #[prost(message, optional, tag = "1")]
    pub group: Option<Group>,
}

/// Deletes a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupDeleteRequest {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Asks for every group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupListRequest {}

/// Answers with every group that can be read.
#[derive(Clone, PartialEq, Message)]
pub struct GroupListResponse {
    /// The groups.
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<Group>,
}

/// Puts a profile, in place of one with its id if there is one.
#[derive(Clone, PartialEq, Message)]
pub struct ProfilePutRequest {
    /// The profile.
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Profile>,
}

/// Asks for a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileGetRequest {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Answers with a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileGetResponse {
    /// The profile.
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Profile>,
}

/// Deletes a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileDeleteRequest {
    /// Its id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Asks for every profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileListRequest {}

/// Answers with every profile that can be read.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileListResponse {
    /// The profiles.
    #[prost(message, repeated, tag = "1")]
    pub profiles: Vec<Profile>,
}

/// Puts an Ignition config.
#[derive(Clone, PartialEq, Message)]
pub struct IgnitionPutRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its bytes, kept as they are.
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

/// Asks for an Ignition config.
#[derive(Clone, PartialEq, Message)]
pub struct IgnitionGetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Deletes an Ignition config.
#[derive(Clone, PartialEq, Message)]
pub struct IgnitionDeleteRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Puts a template.
#[derive(Clone, PartialEq, Message)]
pub struct GenericPutRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its bytes, kept as they are.
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

/// Asks for a template.
#[derive(Clone, PartialEq, Message)]
pub struct GenericGetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Deletes a template.
#[derive(Clone, PartialEq, Message)]
pub struct GenericDeleteRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Answers with a config or a template: `IgnitionGetResponse` and `GenericGetResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigResponse {
    /// Its bytes, as they were put.
    #[prost(bytes = "vec", tag = "1")]
    pub config: Vec<u8>,
}

/// Says that it is done: the response to every request that puts or deletes.
#[derive(Clone, PartialEq, Message)]
pub struct Done {}

/// Asks for the group of a machine.
#[derive(Clone, PartialEq, Message)]
pub struct SelectGroupRequest {
    /// Its labels.
    #[prost(btree_map = "string, string", tag = "1")]
    pub labels: BTreeMap<String, String>,
}

/// Asks for the profile of a machine's group.
#[derive(Clone, PartialEq, Message)]
pub struct SelectProfileRequest {
    /// Its labels.
    #[prost(btree_map = "string, string", tag = "1")]
    pub labels: BTreeMap<String, String>,
}

macro_rules! methods {
    ($($request:ident = $path:literal => $answer:ident;)*) => {
        $(impl Request for $request {
            const PATH: &'static str = $path;
            type Answer = $answer;
        })*

        /// The path of every method.
        pub const METHODS: &[&str] = &[$($path),*];
    };
}

methods! {
    GroupPutRequest = "/rpcpb.Groups/GroupPut" => Done;
    GroupGetRequest = "/rpcpb.Groups/GroupGet" => GroupGetResponse;
    GroupDeleteRequest = "/rpcpb.Groups/GroupDelete" => Done;
    GroupListRequest = "/rpcpb.Groups/GroupList" => GroupListResponse;
    ProfilePutRequest = "/rpcpb.Profiles/ProfilePut" => Done;
    ProfileGetRequest = "/rpcpb.Profiles/ProfileGet" => ProfileGetResponse;
    ProfileDeleteRequest = "/rpcpb.Profiles/ProfileDelete" => Done;
    ProfileListRequest = "/rpcpb.Profiles/ProfileList" => ProfileListResponse;
    IgnitionPutRequest = "/rpcpb.Ignition/IgnitionPut" => Done;
    IgnitionGetRequest = "/rpcpb.Ignition/IgnitionGet" => ConfigResponse;
    IgnitionDeleteRequest = "/rpcpb.Ignition/IgnitionDelete" => Done;
    GenericPutRequest = "/rpcpb.Generic/GenericPut" => Done;
    GenericGetRequest = "/rpcpb.Generic/GenericGet" => ConfigResponse;
    GenericDeleteRequest = "/rpcpb.Generic/GenericDelete" => Done;
    SelectGroupRequest = "/rpcpb.Select/SelectGroup" => GroupGetResponse;
    SelectProfileRequest = "/rpcpb.Select/SelectProfile" => ProfileGetResponse;
}
