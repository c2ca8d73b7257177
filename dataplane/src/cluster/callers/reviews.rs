//! The API server's reviews of tokens and of access.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use mailtrail_crds::GROUP;
use tokio::sync::OnceCell;

use super::{AUDIENCE, Access, Review, ReviewError, Reviewer};
use crate::api::auth::Identity;
use crate::cluster::client::client;

/// The API server that the environment names.
#[derive(Default)]
pub struct ApiServer {
    /// Made when it is first needed, and again until that works.
    client: OnceCell<Client>,
}

impl ApiServer {
    async fn client(&self) -> Result<Client, ReviewError> {
        let made = self.client.get_or_try_init(|| async {
            let made = client().await;
            made.map(|(client, _)| client)
                .map_err(|error| ReviewError::Away(error.to_string()))
        });
        made.await.cloned()
    }

    async fn review_token(&self, token: &str) -> Result<Option<Identity>, ReviewError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client().await?);
        let review = reviews.create(&PostParams::default(), &review).await?;
        let Some(status) = review.status else {
            return Ok(None);
        };
        // An authenticator that does not know of audiences takes tokens that are
        // for somebody else; it leaves the field empty.
        let audiences = status.audiences.unwrap_or_default();
        let is_ours = audiences.iter().any(|audience| audience == AUDIENCE);
        let user = status
            .user
            .filter(|_| is_ours && status.authenticated == Some(true));
        Ok(user.map(|user| Identity {
            user: user.username.unwrap_or_default(),
            uid: user.uid.unwrap_or_default(),
            groups: user.groups.unwrap_or_default(),
            extra: user.extra.unwrap_or_default(),
        }))
    }

    async fn review_access(&self, who: &Identity, what: &Access) -> Result<bool, ReviewError> {
        let Identity {
            user,
            uid,
            groups,
            extra,
        } = who;
        let Access {
            verb,
            resource,
            subresource,
            namespace,
            name,
        } = what;
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.clone()),
                uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
                groups: Some(groups.clone()),
                extra: Some(extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some(GROUP.to_owned()),
                    resource: Some((*resource).to_owned()),
                    subresource: Some((*subresource).to_owned()),
                    verb: Some((*verb).to_owned()),
                    namespace: namespace.clone(),
                    name: name.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client().await?);
        let review = reviews.create(&PostParams::default(), &review).await?;
        Ok(review
            .status
            .is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

impl Reviewer for ApiServer {
    fn token<'a>(&'a self, token: &'a str) -> Review<'a, Option<Identity>> {
        Box::pin(self.review_token(token))
    }

    fn access<'a>(&'a self, who: &'a Identity, what: &'a Access) -> Review<'a, bool> {
        Box::pin(self.review_access(who, what))
    }
}

impl From<kube::Error> for ReviewError {
    fn from(error: kube::Error) -> Self {
        match error {
            // The server's own words may repeat what was asked.
            kube::Error::Api(status) => {
                let told = format!("{} ({})", status.reason, status.code);
                match status.code {
                    // These mean us, or everybody.
                    401 | 403 | 429 => Self::Away(told),
                    400..500 => Self::Failed(told),
                    _ => Self::Away(told),
                }
            }
            other => Self::Away(other.to_string()),
        }
    }
}
