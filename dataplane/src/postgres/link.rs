//! One connection: made within a bounded time, with bounds on what it waits
//! for, ended when dropped.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Statement};

use super::address::Address;
use super::fault::Fault;

/// Longest time to connect, over all addresses of a name.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// What a session may wait for, and how long. A transaction whose client has
/// gone silent is ended by the server, with its locks. What is committed is on
/// its disk, whatever its default: the spool is removed after that.
const SESSION: &str = "SET lock_timeout = '5s'; SET statement_timeout = '30s';
    SET idle_in_transaction_session_timeout = '20s'; SET timezone = 'UTC';
    SET client_min_messages = 'warning'; SET synchronous_commit = 'on'";
/// Most connections that answer questions at once.
const ASKING_MAX: usize = 4;

/// Most statements of which a connection keeps the plan.
const PLANS_MAX: usize = 32;

/// A connection.
pub(super) struct Link {
    client: Client,
    /// By their text.
    planned: std::sync::Mutex<HashMap<String, Statement>>,
    driving: JoinHandle<()>,
}

/// Connections that answer questions, made when needed.
pub(super) struct Pool {
    address: Arc<Address>,
    places: Semaphore,
    spare: std::sync::Mutex<Vec<Link>>,
}

/// A connection of the pool for one question; not given back unless it is said
/// to be sound.
pub(super) struct Lent<'a> {
    pub(super) link: Link,
    pool: &'a Pool,
    _place: SemaphorePermit<'a>,
}

impl Link {
    /// Connects.
    pub(super) async fn open(address: &Address) -> Result<Self, Fault> {
        let config = address.with_password()?;
        let connecting = config.connect(address.tls());
        let (client, connection) = timeout(CONNECT_MAX, connecting).await??;
        let driving = tokio::spawn(async move {
            // Whoever waits for an answer is told that it ended.
            let _ = connection.await;
        });
        let planned = std::sync::Mutex::default();
        let link = Self {
            client,
            planned,
            driving,
        };
        timeout(CONNECT_MAX, link.client.batch_execute(SESSION)).await??;
        Ok(link)
    }

    /// Asks something whose statements are [`Link::planned`].
    pub(super) async fn by_kept_plans<T, E: From<tokio_postgres::Error>>(
        &self,
        question: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        // Else the server plans anew wherever it takes the values to matter.
        let keep = "SET plan_cache_mode = 'force_generic_plan'";
        self.client.batch_execute(keep).await?;
        let answer = question().await;
        self.client.batch_execute("RESET plan_cache_mode").await?;
        answer
    }

    /// A statement whose plan the server keeps with the connection: planning
    /// looks at every day's partition and takes longer than the answer. For
    /// conditions whose plan is the same whatever the values are.
    pub(super) async fn planned(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.plans().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut plans = self.plans();
        if plans.len() < PLANS_MAX {
            plans.insert(sql.to_owned(), statement.clone());
        }
        Ok(statement)
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, HashMap<String, Statement>> {
        // Nothing under it panics in the middle.
        let planned = self.planned.lock();
        planned.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Deref for Link {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Link {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Pool {
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self {
            address,
            places: Semaphore::new(ASKING_MAX),
            spare: std::sync::Mutex::default(),
        }
    }

    /// A connection, once one of a few is free.
    pub(super) async fn lend(&self) -> Result<Lent<'_>, Fault> {
        let place = self.places.acquire().await;
        let place = place.map_err(|_| Fault::Away("the program ends".to_owned()))?;
        let spare = loop {
            match self.spare().pop() {
                Some(link) if link.is_closed() => {}
                spare => break spare,
            }
        };
        let link = match spare {
            Some(link) => link,
            None => Link::open(&self.address).await?,
        };
        Ok(Lent {
            link,
            pool: self,
            _place: place,
        })
    }

    /// Asks something over one of them, within a bounded time; where it answers
    /// others may use it.
    pub(super) async fn ask<T>(
        &self,
        time: Duration,
        question: impl AsyncFnOnce(&mut Link) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let asking = async {
            let mut lent = self.lend().await?;
            let answer = question(&mut lent.link).await?;
            lent.give_back();
            Ok(answer)
        };
        timeout(time, asking).await.map_err(Fault::from).flatten()
    }

    /// Ends those that nobody uses: the server may have ended them, unsaid.
    pub(super) fn renew(&self) {
        self.spare().clear();
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Link>> {
        // Nothing under it panics in the middle.
        let spare = self.spare.lock();
        spare.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Lent<'_> {
    /// It answered as it should: others may use it.
    pub(super) fn give_back(self) {
        self.pool.spare().push(self.link);
    }
}
