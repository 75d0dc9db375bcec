//! The messages of `proto/`, and the answer of each request.
//!
//! Written by hand, because there are few and this needs no code generator. Tests with
//! clients generated from `proto/` show that both are equivalent.

use std::collections::BTreeMap;

use prost::Message;

/// A request with its method and answer.
pub trait Request: Message + Default + 'static {
    /// `/PACKAGE.SERVICE/METHOD`.
    const PATH: &'static str;
    /// The answer.
    type Answer: Message + Default + 'static;
}

/// Machines that match every label of the selector get the profile.
#[derive(Clone, PartialEq, Message)]
pub struct Group {
    /// Its name, and that of its file.
    #[prost(string, tag = "1")]
    pub id: String,
    /// A display name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The ID of the profile.
    #[prost(string, tag = "3")]
    pub profile: String,
    /// The labels that a machine must have.
    #[prost(btree_map = "string, string", tag = "4")]
    pub selector: BTreeMap<String, String>,
    /// A JSON object, for templates.
    #[prost(bytes = "vec", tag = "5")]
    pub metadata: Vec<u8>,
}

/// What machines boot, and their configs.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// Its name, and that of its file.
    #[prost(string, tag = "1")]
    pub id: String,
    /// A display name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The name of an Ignition or Butane config.
    #[prost(string, tag = "3")]
    pub ignition_id: String,
    /// The name of a cloud-config.
    #[prost(string, tag = "4")]
    pub cloud_id: String,
    /// What a machine boots. Always set in answers: the Terraform provider requires it.
    #[prost(message, optional, tag = "5")]
    pub boot: Option<NetBoot>,
    /// The name of a template of any kind.
    #[prost(string, tag = "6")]
    pub generic_id: String,
}

/// A kernel with its initrds and arguments.
#[derive(Clone, PartialEq, Message)]
pub struct NetBoot {
    /// URL of the kernel.
    #[prost(string, tag = "1")]
    pub kernel: String,
    /// URLs of initial RAM disks.
    #[prost(string, repeated, tag = "2")]
    pub initrd: Vec<String>,
    /// Kernel arguments.
    #[prost(string, repeated, tag = "4")]
    pub args: Vec<String>,
}

/// Creates or replaces a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupPutRequest {
    /// The group.
    #[prost(message, optional, tag = "1")]
    pub group: Option<Group>,
}

/// Requests a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupGetRequest {
    /// Its ID.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// The answer with a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupGetResponse {
    /// The group.
    #[prost(message, optional, tag = "1")]
    pub group: Option<Group>,
}

/// Deletes a group.
#[derive(Clone, PartialEq, Message)]
pub struct GroupDeleteRequest {
    /// Its ID.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Requests all groups.
#[derive(Clone, PartialEq, Message)]
pub struct GroupListRequest {}

/// The answer with every group that can be read.
#[derive(Clone, PartialEq, Message)]
pub struct GroupListResponse {
    /// The groups.
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<Group>,
}

/// Creates or replaces a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfilePutRequest {
    /// The profile.
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Profile>,
}

/// Requests a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileGetRequest {
    /// Its ID.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// The answer with a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileGetResponse {
    /// The profile.
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Profile>,
}

/// Deletes a profile.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileDeleteRequest {
    /// Its ID.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Requests all profiles.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileListRequest {}

/// The answer with every profile that can be read.
#[derive(Clone, PartialEq, Message)]
pub struct ProfileListResponse {
    /// The profiles.
    #[prost(message, repeated, tag = "1")]
    pub profiles: Vec<Profile>,
}

/// Creates or replaces an Ignition config.
#[derive(Clone, PartialEq, Message)]
pub struct IgnitionPutRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its bytes, stored unchanged.
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

/// Requests an Ignition config.
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

/// Creates or replaces a template.
#[derive(Clone, PartialEq, Message)]
pub struct GenericPutRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its bytes, stored unchanged.
    #[prost(bytes = "vec", tag = "2")]
    pub config: Vec<u8>,
}

/// Requests a template.
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

/// The answer with a config or a template: `IgnitionGetResponse` and `GenericGetResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ConfigResponse {
    /// Its bytes, as stored.
    #[prost(bytes = "vec", tag = "1")]
    pub config: Vec<u8>,
}

/// The empty answer to every request that creates, replaces or deletes.
#[derive(Clone, PartialEq, Message)]
pub struct Done {}

/// Requests the group of a machine.
#[derive(Clone, PartialEq, Message)]
pub struct SelectGroupRequest {
    /// Its labels.
    #[prost(btree_map = "string, string", tag = "1")]
    pub labels: BTreeMap<String, String>,
}

/// Requests the profile of a machine's group.
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
