//! The Secret that holds the keyring: made once, rotated by age, never replaced.
//!
//! A rotation has two steps. A new key is staged; when every pod of the data
//! plane that is not terminating has said that it knows the key, it becomes the
//! active one, and the old one opens what was sealed with it for ever. With
//! claims in the cluster and no keyring nothing is made: a new one would kill
//! every link.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta};
use mailtrail_core::keyring::{KEY_BYTES, Keyring, KeyringError};
use tokio::sync::watch;

use crate::error::{Error, within};
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::object;
use crate::replicas::Replicas;

/// Name of the Secret.
pub const NAME: &str = "mailtrail-keyring";
/// Its one data key: the document that the data plane reads.
pub const DATA_KEY: &str = "keyring.json";
/// When the active key became so; RFC 3339.
const ACTIVE_SINCE: &str = "mailtrail.dev/active-since";
/// Who leads: marks the object at the beginning of a term.
const HOLDER: &str = "mailtrail.dev/holder";
/// Longest time between two looks: how soon it is told that something is wrong.
const LOOK_LONGEST: Duration = Duration::from_secs(10);
/// The same while something is.
const LOOK_AT_FAULT: Duration = Duration::from_secs(2);
/// Shortest time between two looks.
const LOOK_SHORTEST: Duration = Duration::from_millis(200);

/// The keyring in use; none until it is read.
#[derive(Debug, Default)]
pub struct Keys(watch::Sender<Option<Arc<Keyring>>>);

/// Keeps the Secret, for one term.
pub struct Keeper {
    /// Where it is.
    pub api: Api<Secret>,
    /// Where the keyring goes.
    pub keys: Arc<Keys>,
    /// Who must know a key before it is used.
    pub replicas: Arc<Replicas>,
    /// Whether we still lead.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Age at which the active key is replaced.
    pub rotate_after: Duration,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// Why a look at the keyring came to nothing.
#[derive(Debug, thiserror::Error)]
enum KeyringFault {
    #[error(transparent)]
    Api(#[from] Error),
    #[error(
        "the Secret {NAME} is missing, but hosts are claimed: restore it from a backup; a new keyring would kill every link that was sent"
    )]
    Missing,
    #[error("the Secret {NAME} has no {DATA_KEY}: restore it from a backup")]
    NoDocument,
    #[error("the Secret {NAME}: {0}. Restore it from a backup")]
    Damaged(#[from] KeyringError),
    #[error("the system's random source failed")]
    Random,
}

impl Keys {
    /// The keyring, where there is one.
    pub fn get(&self) -> Option<Arc<Keyring>> {
        self.0.borrow().clone()
    }

    /// The keyring, now and as it changes.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Keyring>>> {
        self.0.subscribe()
    }

    fn set(&self, keyring: Keyring) {
        self.0.send_if_modified(|known| {
            let differs = known.as_deref() != Some(&keyring);
            *known = Some(Arc::new(keyring));
            differs
        });
    }
}

impl Keeper {
    /// The beginning of a term: reads the keyring, or makes it where nothing
    /// was sent yet, and marks it as ours. `is_new` says that no host is
    /// claimed and nothing is served.
    pub async fn begin(&self, is_new: bool, holder: &str) {
        if let Err(fault) = self.try_begin(is_new, holder).await {
            self.tell(&fault);
        }
    }

    async fn try_begin(&self, is_new: bool, holder: &str) -> Result<(), KeyringFault> {
        let secret = match self.read().await {
            Err(KeyringFault::Missing) if is_new => self.make().await?,
            other => other?,
        };
        let mut marked = secret;
        let annotations = marked.metadata.annotations.get_or_insert_default();
        annotations.insert(HOLDER.to_owned(), holder.to_owned());
        self.write(&marked).await?;
        Ok(())
    }

    /// Looks after it for the rest of the term; never returns.
    pub async fn run(&self) {
        let pause = (self.rotate_after / 8).clamp(LOOK_SHORTEST, LOOK_LONGEST);
        let mut last_told = None;
        loop {
            let pause = match self.look().await {
                Ok(staged) => {
                    last_told = None;
                    if staged { LOOK_SHORTEST } else { pause }
                }
                Err(fault) => {
                    let text = fault.to_string();
                    if last_told.as_ref() != Some(&text) {
                        self.tell(&fault);
                    }
                    last_told = Some(text);
                    pause.min(LOOK_AT_FAULT)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// One step of a rotation, where one is due; whether one is under way.
    async fn look(&self) -> Result<bool, KeyringFault> {
        let secret = self.read().await?;
        let Some(keyring) = self.keys.get() else {
            return Ok(false);
        };
        if let Some(staged) = keyring.staged() {
            let id = staged.id;
            self.replicas.want_key(Some(id));
            if !self.replicas.all_know(id) {
                return Ok(true);
            }
            let Ok(rotated) = keyring.activate(id) else {
                return Ok(true);
            };
            self.put(secret, &rotated, true).await?;
            self.replicas.want_key(None);
            tracing::info!(key.id = %id, "a new key seals links now; the former one opens for ever");
            return Ok(false);
        }
        self.replicas.want_key(None);
        if self.age(&secret) < self.rotate_after {
            return Ok(false);
        }
        let staged = keyring.stage(random()?)?;
        self.put(secret, &staged, false).await?;
        let id = staged.staged().map(|key| key.id);
        self.replicas.want_key(id);
        tracing::info!(
            key.id = id.map(tracing::field::display),
            "a new key is staged: replicas are asked whether they know it"
        );
        Ok(true)
    }

    async fn read(&self) -> Result<Secret, KeyringFault> {
        let secret = within("Secret", self.api.get_opt(NAME)).await?;
        let secret = secret.ok_or(KeyringFault::Missing)?;
        let data = secret.data.as_ref();
        let document = data.and_then(|data| data.get(DATA_KEY));
        let document = document.ok_or(KeyringFault::NoDocument)?;
        self.keys.set(Keyring::parse(&document.0)?);
        self.metrics.keyring_ok.set(1);
        Ok(secret)
    }

    async fn make(&self) -> Result<Secret, KeyringFault> {
        self.fence.check()?;
        let keyring = Keyring::generate(random()?)?;
        let since = (self.clock)().to_string();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                labels: Some(object::labels()),
                annotations: Some(BTreeMap::from([(ACTIVE_SINCE.to_owned(), since)])),
                ..ObjectMeta::default()
            },
            data: Some(document(&keyring)),
            type_: Some("mailtrail.dev/keyring".to_owned()),
            ..Secret::default()
        };
        let params = object::post();
        let made = within("Secret", self.api.create(&params, &secret)).await?;
        tracing::info!(key.id = %keyring.active().id, "made the keyring: back up the Secret {NAME}, every link depends on it");
        self.keys.set(keyring);
        self.metrics.keyring_ok.set(1);
        Ok(made)
    }

    async fn put(
        &self,
        mut secret: Secret,
        keyring: &Keyring,
        activates: bool,
    ) -> Result<(), KeyringFault> {
        let data = secret.data.get_or_insert_default();
        data.extend(document(keyring));
        if activates {
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.insert(ACTIVE_SINCE.to_owned(), (self.clock)().to_string());
        }
        self.write(&secret).await?;
        self.keys.set(keyring.clone());
        Ok(())
    }

    /// Replaces what was read, if nobody changed it since.
    async fn write(&self, secret: &Secret) -> Result<Secret, Error> {
        self.fence.check()?;
        let params = object::post();
        within("Secret", self.api.replace(NAME, &params, secret)).await
    }

    /// How long the active key has been so; a clock that was put back makes it
    /// younger, never negative.
    fn age(&self, secret: &Secret) -> Duration {
        let noted = secret.metadata.annotations.as_ref();
        let noted = noted.and_then(|all| all.get(ACTIVE_SINCE)?.parse::<Timestamp>().ok());
        let made = secret
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0);
        let since = noted.or(made);
        since.map_or(Duration::ZERO, |since| {
            let age = (self.clock)().duration_since(since);
            age.try_into().unwrap_or(Duration::ZERO)
        })
    }

    fn tell(&self, fault: &KeyringFault) {
        match fault {
            KeyringFault::Api(error) => {
                self.metrics.failed(error.category());
                tracing::warn!(%error, "the keyring could not be looked after: tried again");
            }
            _ => {
                self.metrics.keyring_ok.set(0);
                tracing::error!(error = %fault, "there is no keyring to work with: keys are not rotated, and replicas cannot be asked");
            }
        }
    }
}

fn document(keyring: &Keyring) -> BTreeMap<String, ByteString> {
    let document = ByteString(keyring.to_document().into_bytes());
    BTreeMap::from([(DATA_KEY.to_owned(), document)])
}

fn random() -> Result<[u8; 3 + KEY_BYTES], KeyringFault> {
    let mut random = [0; 3 + KEY_BYTES];
    rand::fill(&mut random).map_err(|_| KeyringFault::Random)?;
    Ok(random)
}
