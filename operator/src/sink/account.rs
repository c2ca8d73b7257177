//! As whom the operator is known to the API server, for those who let it read
//! their Secrets.

use std::fmt::Write as _;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, PostParams};
use mailtrail_core::id::Realm;

use crate::error::{Error, within};

/// What the name of a ServiceAccount as a user begins with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Whose rights are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// A ServiceAccount: namespace and name.
    Service(String, String),
    /// A user of another kind.
    User(String),
}

impl Account {
    /// Asks the API server.
    pub async fn ask(client: &Client) -> Result<Self, Error> {
        let api: Api<SelfSubjectReview> = Api::all(client.clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let asked = api.create(&params, &review);
        let review = within("SelfSubjectReview", asked).await?;
        let status = review.status.unwrap_or_default();
        let user = status.user_info.unwrap_or_default().username;
        Ok(Self::of(user.unwrap_or_default()))
    }

    fn of(user: String) -> Self {
        let account = user.strip_prefix(SERVICE_ACCOUNT);
        match account.and_then(|account| account.split_once(':')) {
            Some((namespace, name)) => Self::Service(namespace.to_owned(), name.to_owned()),
            None => Self::User(user),
        }
    }

    /// The Role and the RoleBinding that let us read the Secrets of a sink, after
    /// a line that says so: a manifest as it stands.
    pub(super) fn may_read(&self, sink: &Realm, missing: &str, secrets: &[&str]) -> String {
        let (namespace, name) = (sink.namespace(), sink.name());
        let names: Vec<_> = secrets.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(", ");
        let subject = match self {
            Self::Service(namespace, name) => {
                format!("{{kind: ServiceAccount, name: {name:?}, namespace: {namespace:?}}}")
            }
            Self::User(name) => {
                format!("{{kind: User, apiGroup: rbac.authorization.k8s.io, name: {name:?}}}")
            }
        };
        let mut text = format!(
            "# the operator may not read the Secret {missing}: its owner allows it with the manifest in ResolvedRefs\n"
        );
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "apiVersion: rbac.authorization.k8s.io/v1\n\
             kind: Role\n\
             metadata: {{name: \"mailtrail-sink-{name}\", namespace: {namespace:?}}}\n\
             rules:\n\
             - {{apiGroups: [\"\"], resources: [secrets], resourceNames: [{names}], verbs: [list, watch]}}\n\
             ---\n\
             apiVersion: rbac.authorization.k8s.io/v1\n\
             kind: RoleBinding\n\
             metadata: {{name: \"mailtrail-sink-{name}\", namespace: {namespace:?}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: \"mailtrail-sink-{name}\"}}\n\
             subjects:\n\
             - {subject}\n"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_is_told_by_namespace_and_name() {
        let account = Account::of("system:serviceaccount:mailtrail-system:operator".to_owned());
        let sink = "shop/orders".parse().expect("a realm");
        let manifest = account.may_read(&sink, "key", &["key", "true"]);
        assert!(
            manifest.starts_with('#') && manifest.contains("resourceNames: [\"key\", \"true\"]")
        );
        assert!(manifest.contains("name: \"operator\", namespace: \"mailtrail-system\""));
        assert_eq!(
            Account::of("jane".to_owned()),
            Account::User("jane".to_owned())
        );
    }
}
