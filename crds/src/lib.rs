//! The Kubernetes resources' types, the rules their objects keep, the YAML made
//! from both, and the pure step from a spec to its configuration entry.
//!
//! The rules are written once, as CEL in the schema: the API server asks them
//! there, [`validate::Checker`] asks the same ones in-process.

pub mod cases;
pub mod claim;
pub mod domain;
pub mod duration;
pub mod entry;
pub mod page;
mod rules;
mod schema;
pub mod shard;
pub mod sink;
pub mod status;
pub mod validate;

pub use claim::{HostClaim, HostClaimSpec};
pub use domain::{TrackingDomain, TrackingDomainSpec};
pub use shard::{ConfigShard, ConfigShardSpec};
pub use sink::{EventSink, EventSinkSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group of all resources.
pub const GROUP: &str = "mailtrail.dev";
/// The version they are served and stored in.
pub const VERSION: &str = "v1alpha1";
/// The class of a tracking domain that names none.
pub const DEFAULT_CLASS: &str = "mailtrail";

/// The definitions of all kinds, as they are applied to a cluster, in the order
/// of their names.
pub fn definitions() -> [CustomResourceDefinition; 4] {
    [
        ConfigShard::crd(),
        EventSink::crd(),
        HostClaim::crd(),
        TrackingDomain::crd(),
    ]
}

/// The schema of a kind, rules included.
pub fn schema_of<K: kube::CustomResourceExt>() -> serde_json::Value {
    let schema = K::crd()
        .spec
        .versions
        .into_iter()
        .find_map(|version| version.schema?.open_api_v3_schema)
        .expect("the derive makes one version, with a schema");
    let mut schema = serde_json::to_value(schema).expect("a schema is plain data");
    whole_numbers(&mut schema);
    schema
}

/// A definition as the YAML that is committed and shipped.
pub fn definition_yaml(
    definition: &CustomResourceDefinition,
) -> Result<String, serde_saphyr::ser::Error> {
    let mut definition = serde_json::to_value(definition).expect("a definition is plain data");
    whole_numbers(&mut definition);
    let yaml = serde_saphyr::to_string(&definition)?;
    Ok(format!(
        "# Made by `make crds`; a test compares it. Do not edit.\n{yaml}"
    ))
}

/// The name of the file that a definition is committed in.
pub fn definition_file(definition: &CustomResourceDefinition) -> String {
    let name = definition.metadata.name.as_deref().unwrap_or_default();
    format!("{name}.yaml")
}

/// Writes `10000` where the definition's Rust type knows only `10000.0`.
fn whole_numbers(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) if number.is_f64() => {
            // Bounds are small; what does not survive the way back stays.
            let whole = number.as_f64().map(|f| f as i64);
            if let Some(whole) = whole.filter(|w| Some(*w as f64) == number.as_f64()) {
                *number = whole.into();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_yaml_is_what_the_types_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
        for definition in definitions() {
            let file = folder.join(definition_file(&definition));
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            let made = definition_yaml(&definition).expect("yaml");
            assert!(committed == made, "{}: run `make crds`", file.display());
        }
    }
}
