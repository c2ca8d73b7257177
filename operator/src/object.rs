//! What every object that the operator writes has, and in whose name it is written.

use std::collections::BTreeMap;

use kube::api::{DeleteParams, PatchParams, PostParams, Preconditions};

/// The name that our fields are owned under.
pub const MANAGER: &str = "mailtrail-operator";

/// The labels of what the operator makes.
pub fn labels() -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    [
        label("app.kubernetes.io/name", "mailtrail"),
        label("app.kubernetes.io/managed-by", MANAGER),
    ]
    .into()
}

/// Makes or replaces an object in our name.
pub fn post() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// Merges into an object in our name.
pub fn patch() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

/// Deletes the object of this UID alone, and none that has changed since this
/// version of it.
pub fn delete(uid: Option<String>, version: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: version,
            uid,
        }),
        ..DeleteParams::default()
    }
}
