use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

/// An API server that says what it is told to, and counts.
#[derive(Default)]
struct Fake {
    /// Whose token each is.
    tokens: BTreeMap<String, String>,
    /// Who may do what, as `user verb subresource namespace name`.
    roles: Vec<String>,
    away: bool,
    hangs: bool,
    /// What is asked of one token fails.
    fails: bool,
    asked: usize,
    elapsed: Duration,
    unix_seconds: i64,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Fake>>);

impl Shared {
    fn with<T>(&self, change: impl FnOnce(&mut Fake) -> T) -> T {
        change(&mut self.0.lock().expect("no panic"))
    }

    fn later(&self, seconds: u64) {
        self.with(|fake| {
            fake.elapsed += Duration::from_secs(seconds);
            fake.unix_seconds += i64::try_from(seconds).expect("small");
        });
    }

    fn asked(&self) -> usize {
        self.with(|fake| fake.asked)
    }

    async fn answer<T>(&self, answer: impl FnOnce(&Fake) -> T) -> Result<T, ReviewError> {
        let hangs = self.with(|fake| {
            fake.asked += 1;
            fake.hangs
        });
        if hangs {
            std::future::pending::<()>().await;
        }
        self.with(|fake| match (fake.away, fake.fails) {
            (true, _) => Err(ReviewError::Away("refused".to_owned())),
            (_, true) => Err(ReviewError::Failed("Invalid (422)".to_owned())),
            _ => Ok(answer(fake)),
        })
    }
}

impl Reviewer for Shared {
    fn token<'a>(&'a self, token: &'a str) -> Review<'a, Option<Identity>> {
        let identity = |user: &String| Identity {
            user: user.clone(),
            ..Identity::default()
        };
        Box::pin(self.answer(move |fake| fake.tokens.get(token).map(identity)))
    }

    fn access<'a>(&'a self, who: &'a Identity, what: &'a Access) -> Review<'a, bool> {
        let any = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        let (namespace, name) = (any(&what.namespace), any(&what.name));
        let Access {
            verb, subresource, ..
        } = what;
        let role = format!("{} {verb} {subresource} {namespace} {name}", who.user);
        Box::pin(self.answer(move |fake| fake.roles.contains(&role)))
    }
}

fn world() -> (Shared, Callers<Shared>) {
    let fake = Shared::default();
    fake.with(|fake| {
        fake.tokens.insert("token-a".to_owned(), "ada".to_owned());
        fake.roles.push("ada get events shop links".to_owned());
        // Not at zero, as no process is that asks.
        fake.elapsed = Duration::from_secs(1);
    });
    let told = fake.clone();
    let clock: Clock = Arc::new(move || {
        told.with(|fake| Now {
            elapsed: fake.elapsed,
            unix_seconds: fake.unix_seconds,
        })
    });
    let callers = Callers::new(fake.clone(), clock, ReviewMetrics::default());
    (fake, callers)
}

async fn may_read(callers: &Callers<Shared>) -> Result<bool, Denied> {
    let caller = callers.authenticate(Some("token-a")).await?;
    let realm = "shop/links".parse().expect("realm");
    callers.allows(&caller, Verb::Read, &realm).await
}

#[tokio::test]
async fn each_operation_asks_for_its_own_verb_and_domain() {
    let (fake, callers) = world();
    let caller = callers.authenticate(Some("token-a")).await.expect("ada");
    assert!(!caller.everywhere);
    let realm = "shop/links".parse().expect("realm");
    for (verb, role) in [
        (Verb::Rewrite, "ada create rewrites shop links"),
        (Verb::Read, "ada get events shop links"),
        (Verb::Export, "ada get recipients shop links"),
        (Verb::Withdraw, "ada create recipients shop links"),
        (Verb::Erase, "ada delete recipients shop links"),
        (Verb::ReadSink, "ada get events shop *"),
        (Verb::Push, "ada create replays shop links"),
    ] {
        fake.with(|fake| fake.roles = vec![role.to_owned()]);
        fake.later(61);
        let all = [
            Verb::Rewrite,
            Verb::Read,
            Verb::Export,
            Verb::Withdraw,
            Verb::Erase,
            Verb::ReadSink,
            Verb::Push,
        ];
        for other in all {
            let allowed = callers.allows(&caller, other, &realm).await;
            assert_eq!(allowed, Ok(other == verb), "{role}");
        }
    }
}

#[tokio::test]
async fn nobody_and_strangers_are_not_let_in() {
    let (fake, callers) = world();
    let long = "t".repeat(TOKEN_MAX_BYTES + 1);
    for bearer in [None, Some(""), Some(long.as_str())] {
        let denied = callers.authenticate(bearer).await;
        assert_eq!(denied, Err(Denied::Unauthenticated));
    }
    assert_eq!(fake.asked(), 0);
    for _ in 0..3 {
        let denied = callers.authenticate(Some("token-x")).await;
        assert_eq!(denied, Err(Denied::Unauthenticated));
    }
    assert_eq!(fake.asked(), 1);
    // A token that comes to be known works soon.
    fake.with(|fake| fake.tokens.insert("token-x".to_owned(), "xi".to_owned()));
    fake.later(11);
    assert!(callers.authenticate(Some("token-x")).await.is_ok());
}

#[tokio::test]
async fn what_was_granted_is_believed_for_a_minute_and_no_longer() {
    let (fake, callers) = world();
    assert_eq!(may_read(&callers).await, Ok(true));
    assert_eq!(fake.asked(), 2);
    fake.with(|fake| fake.roles.clear());
    fake.later(59);
    assert_eq!(may_read(&callers).await, Ok(true));
    assert_eq!(fake.asked(), 2);
    fake.later(1);
    assert_eq!(may_read(&callers).await, Ok(false));
    // And the denial not for long.
    fake.with(|fake| fake.roles.push("ada get events shop links".to_owned()));
    assert_eq!(may_read(&callers).await, Ok(false));
    fake.later(10);
    assert_eq!(may_read(&callers).await, Ok(true));
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_a_minute() {
    let (fake, callers) = world();
    assert_eq!(may_read(&callers).await, Ok(true));
    fake.with(|fake| fake.tokens.clear());
    fake.later(60);
    assert_eq!(may_read(&callers).await, Err(Denied::Unauthenticated));
}

#[tokio::test]
async fn a_token_that_ends_is_not_believed_past_its_end() {
    let (fake, callers) = world();
    let claims = BASE64URL_NOPAD.encode(br#"{"exp":30}"#);
    let token = format!("head.{claims}.signature");
    fake.with(|fake| fake.tokens.insert(token.clone(), "ada".to_owned()));
    assert!(callers.authenticate(Some(&token)).await.is_ok());
    fake.with(|fake| fake.tokens.clear());
    fake.later(29);
    assert!(callers.authenticate(Some(&token)).await.is_ok());
    fake.later(1);
    let denied = callers.authenticate(Some(&token)).await;
    assert_eq!(denied, Err(Denied::Unauthenticated));
}

#[tokio::test]
async fn with_the_api_server_away_grants_hold_for_ten_minutes_and_the_rest_is_unavailable() {
    let (fake, callers) = world();
    assert_eq!(may_read(&callers).await, Ok(true));
    fake.with(|fake| fake.away = true);
    fake.later(599);
    assert_eq!(may_read(&callers).await, Ok(true));
    let denied = callers.authenticate(Some("token-b")).await;
    assert_eq!(denied, Err(Denied::Unavailable));
    fake.later(1);
    assert_eq!(may_read(&callers).await, Err(Denied::Unavailable));
    // Back, it is asked again within seconds.
    fake.with(|fake| fake.away = false);
    fake.later(2);
    assert_eq!(may_read(&callers).await, Ok(true));
}

#[tokio::test]
async fn while_it_is_away_not_every_request_waits_for_it() {
    let (fake, callers) = world();
    fake.with(|fake| fake.away = true);
    for _ in 0..10 {
        assert_eq!(may_read(&callers).await, Err(Denied::Unavailable));
    }
    assert_eq!(fake.asked(), 1);
    assert_eq!(callers.metrics.failed.get(), 1);
}

#[tokio::test]
async fn a_review_that_fails_for_one_is_nobody_elses_trouble() {
    let (fake, callers) = world();
    fake.with(|fake| fake.fails = true);
    let denied = callers.authenticate(Some("strange")).await;
    assert_eq!(denied, Err(Denied::Unavailable));
    fake.with(|fake| fake.fails = false);
    assert_eq!(may_read(&callers).await, Ok(true));
}

#[tokio::test]
async fn a_review_that_hangs_is_given_up() {
    let (fake, callers) = world();
    fake.with(|fake| fake.hangs = true);
    let begun = Instant::now();
    assert_eq!(may_read(&callers).await, Err(Denied::Unavailable));
    assert!(begun.elapsed() < REVIEW_WITHIN * 2);
}

#[tokio::test]
async fn a_list_asks_by_namespace() {
    let (fake, callers) = world();
    let caller = callers.authenticate(Some("token-a")).await.expect("ada");
    let ask = async |namespace| {
        callers
            .allows_namespace(&caller, Verb::Read, namespace)
            .await
    };
    assert_eq!(ask("shop").await, Ok(Some(false)));
    fake.with(|fake| fake.roles = vec!["ada get events shop *".to_owned()]);
    fake.later(10);
    assert_eq!(ask("shop").await, Ok(Some(true)));
    assert_eq!(ask("blog").await, Ok(Some(false)));
    fake.with(|fake| fake.roles = vec!["ada get events * *".to_owned()]);
    fake.later(60);
    assert_eq!(ask("blog").await, Ok(Some(true)));
}

#[tokio::test]
async fn another_token_of_another_owner_has_its_own_grants() {
    let (fake, callers) = world();
    assert_eq!(may_read(&callers).await, Ok(true));
    fake.with(|fake| fake.tokens.insert("token-b".to_owned(), "bob".to_owned()));
    let bob = callers.authenticate(Some("token-b")).await.expect("bob");
    let realm = "shop/links".parse().expect("realm");
    assert_eq!(callers.allows(&bob, Verb::Read, &realm).await, Ok(false));
}
