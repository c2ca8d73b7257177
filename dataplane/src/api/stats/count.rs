//! Counts what is asked for. Whole domains by hours come from counts that the
//! store keeps; all else is added up from the events and messages themselves, as
//! many as may be read.

use jiff::Timestamp;
use mailtrail_core::config::Domain;
use mailtrail_core::message::MessageRecord;

use super::tally::Tally;
use super::wanted::Wanted;
use crate::api::App;
use crate::api::problem::Problem;
use crate::api::scope::HOUR_SECONDS;
use crate::api::settings::STATS_READ_MAX;
use crate::store::{
    EventFilter, EventQuery, HourCounts, MessageQuery, PAGE_MAX_MESSAGES, StatsQuery,
};

impl Wanted {
    pub(super) async fn count(&self, app: &App, domain: &Domain) -> Result<Tally, Problem> {
        let mut tally = Tally::new(self.calendar.clone(), self.group_by.clone());
        let is_whole = self.filter.message.is_none() && self.filter.tags.is_empty();
        if is_whole && self.group_by.is_none() && self.calendar.has_whole_hours(self.from, self.to)
        {
            self.count_hours(app, domain, &mut tally).await?;
            if let Some(begin) = self.begin_within_an_hour() {
                let mut left = STATS_READ_MAX;
                begin
                    .count_events(app, domain, &mut tally, &mut left)
                    .await?;
                begin
                    .count_messages(app, domain, &mut tally, &mut left)
                    .await?;
            }
        } else {
            let mut left = STATS_READ_MAX;
            self.count_events(app, domain, &mut tally, &mut left)
                .await?;
            self.count_messages(app, domain, &mut tally, &mut left)
                .await?;
            if is_whole {
                self.count_anonymous(app, domain, &mut tally).await?;
            }
        }
        Ok(tally.finish())
    }

    /// What is asked of the hour that began before the time that is asked for,
    /// whose counts are not all of that time.
    fn begin_within_an_hour(&self) -> Option<Self> {
        let behind = i64::from(hour_behind(self.from)) * HOUR_SECONDS;
        let end = Timestamp::from_second(behind).ok()?.min(self.to);
        (end > self.from).then(|| Self {
            to: end,
            filter: EventFilter {
                until: Some(end),
                ..self.filter.clone()
            },
            ..self.clone()
        })
    }

    async fn count_hours(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        for (begin, counts) in self.hours(app, domain).await? {
            tally.hour(begin, &counts);
        }
        Ok(())
    }

    /// Of what is anonymous nothing but its hour of UTC is known: it is in the
    /// stretch in which that begins, and in no group.
    async fn count_anonymous(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
    ) -> Result<(), Problem> {
        for (begin, counts) in self.hours(app, domain).await? {
            let alone = counts.anonymous_alone();
            if begin >= self.from && alone != HourCounts::default() {
                tally.hour(begin, &alone);
            }
        }
        Ok(())
    }

    /// What happened in the hours of UTC that begin in the time that is asked
    /// for, and in that within which it begins.
    async fn hours(
        &self,
        app: &App,
        domain: &Domain,
    ) -> Result<Vec<(Timestamp, HourCounts)>, Problem> {
        let wanted = StatsQuery {
            domain: domain.realm.clone(),
            from: hour(self.from),
            to: hour_behind(self.to),
        };
        let hours = app.read(domain, move |scope| scope.stats(&wanted)).await?;
        let begin = |hour| Timestamp::from_second(i64::from(hour) * HOUR_SECONDS);
        let timed = hours
            .into_iter()
            .map(|(hour, counts)| (begin(hour).unwrap_or_default(), counts));
        Ok(timed.collect())
    }

    async fn count_events(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
        left: &mut usize,
    ) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let wanted = EventQuery {
                filter: self.filter.clone(),
                after: after.take(),
                ..EventQuery::of(domain.realm.clone())
            };
            let page = app.read(domain, move |scope| scope.events(&wanted)).await?;
            spend(left, page.events.len())?;
            page.events.iter().for_each(|event| tally.event(event));
            if !page.more {
                return Ok(());
            }
            after = Some(page.next);
        }
    }

    async fn count_messages(
        &self,
        app: &App,
        domain: &Domain,
        tally: &mut Tally,
        left: &mut usize,
    ) -> Result<(), Problem> {
        let mut after = None;
        loop {
            let message = self.filter.message.as_ref();
            let wanted = MessageQuery {
                domain: domain.realm.clone(),
                recipient: None,
                tags: self.filter.tags.clone(),
                id_prefix: message.map(ToString::to_string),
                since: self.filter.since,
                until: self.filter.until,
                after: after.take(),
                limit: PAGE_MAX_MESSAGES,
            };
            let page = app
                .read(domain, move |scope| scope.messages(&wanted))
                .await?;
            spend(left, page.messages.len())?;
            // Others may begin with the same letters.
            let is_own = |record: &&MessageRecord| message.is_none_or(|m| record.message_id == *m);
            let own = page.messages.iter().filter(is_own);
            own.for_each(|record| tally.message(record));
            match page.next {
                None => return Ok(()),
                next => after = next,
            }
        }
    }
}

/// Hours since 1970; what is before counts as then.
fn hour(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().div_euclid(HOUR_SECONDS)).unwrap_or(0)
}

/// The first hour that begins at a time or later.
fn hour_behind(time: Timestamp) -> u32 {
    let second = time.as_second().saturating_add(HOUR_SECONDS - 1);
    u32::try_from(second.div_euclid(HOUR_SECONDS)).unwrap_or(0)
}

fn spend(left: &mut usize, read: usize) -> Result<(), Problem> {
    match left.checked_sub(read) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(Problem::field(
            "since",
            format!("must leave at most {STATS_READ_MAX} events and messages to count one by one"),
        )),
    }
}
