//! Hours and days as a place on earth has them. Pure.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds of an hour.
const HOUR_SECONDS: i32 = 60 * 60;
/// Longest name of a time zone that is looked up, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// How long a stretch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StatisticsStep)]
pub(in crate::api) enum Step {
    /// Hours.
    Hour,
    // Of 23 or 25 hours where the clock is changed.
    /// Days.
    Day,
}

/// Where, and in which steps.
#[derive(Debug, Clone)]
pub(super) struct Calendar {
    zone: TimeZone,
    step: Step,
}

impl Calendar {
    pub(super) fn new(zone: TimeZone, step: Step) -> Self {
        Self { zone, step }
    }

    pub(super) fn step(&self) -> Step {
        self.step
    }

    /// The name of the time zone.
    pub(super) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// The begin of the stretch that a time is in.
    pub(super) fn floor(&self, time: Timestamp) -> Timestamp {
        let zoned = time.to_zoned(self.zone.clone());
        let begin = match self.step {
            Step::Hour => {
                let hour = zoned.with().minute(0).second(0).subsec_nanosecond(0);
                hour.build()
            }
            Step::Day => zoned.start_of_day(),
        };
        // Times that are taken have a date everywhere (`api::times`).
        begin.map_or(time, |begin| begin.timestamp())
    }

    /// The end of the stretch that a time is in; of one that begins at that very
    /// time, the time.
    pub(super) fn ceil(&self, time: Timestamp) -> Timestamp {
        let begin = self.floor(time);
        match begin == time {
            true => time,
            false => self.end(begin),
        }
    }

    /// The end of the stretch that begins at this time.
    fn end(&self, begin: Timestamp) -> Timestamp {
        let zoned = begin.to_zoned(self.zone.clone());
        let next = match self.step {
            Step::Hour => zoned.checked_add(1.hour()),
            Step::Day => zoned
                .checked_add(1.day())
                .and_then(|next: Zoned| next.start_of_day()),
        };
        next.map_or(begin, |next| next.timestamp())
    }

    /// Whether its hours begin when those of UTC do, all the time from one hour
    /// to another: then counts by the hours of UTC are enough.
    pub(super) fn has_whole_hours(&self, from: Timestamp, to: Timestamp) -> bool {
        let is_whole = |time| self.zone.to_offset(time).seconds() % HOUR_SECONDS == 0;
        let changes = self.zone.following(from);
        is_whole(from)
            && changes
                .take_while(|change| change.timestamp() < to)
                .all(|change| is_whole(change.timestamp()))
    }
}

/// A time zone by its name in the IANA database.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    const RULE: &str = "must be a name of the IANA time zone database, like Europe/Berlin";
    let known = name.len() <= NAME_MAX_BYTES;
    let zone = known.then(|| TimeZone::get(name).ok()).flatten();
    zone.ok_or_else(|| RULE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn calendar(name: &str, step: Step) -> Calendar {
        Calendar::new(zone(name).expect("a zone"), step)
    }

    #[test]
    fn days_are_those_of_the_place_and_as_long_as_its_clock_says() {
        let berlin = calendar("Europe/Berlin", Step::Day);
        for (at, from, to) in [
            // Winter, an hour before UTC's day.
            (
                "2026-11-23T22:59:59Z",
                "2026-11-22T23:00:00Z",
                "2026-11-23T23:00:00Z",
            ),
            (
                "2026-11-23T23:00:01Z",
                "2026-11-23T23:00:00Z",
                "2026-11-24T23:00:00Z",
            ),
            // The day of 25 hours, and the one of 23.
            (
                "2026-10-25T12:00:00Z",
                "2026-10-24T22:00:00Z",
                "2026-10-25T23:00:00Z",
            ),
            (
                "2026-03-29T12:00:00Z",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
            ),
        ] {
            assert_eq!(berlin.floor(time(at)), time(from), "{at}");
            assert_eq!(berlin.ceil(time(at)), time(to), "{at}");
        }
        assert_eq!(
            berlin.ceil(time("2026-11-23T23:00:00Z")),
            time("2026-11-23T23:00:00Z")
        );
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours() {
        let berlin = calendar("Europe/Berlin", Step::Hour);
        for hour in ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"] {
            let within = time(hour) + 30.minutes();
            assert_eq!(berlin.floor(within), time(hour));
            assert_eq!(berlin.ceil(within), time(hour) + 1.hour());
        }
    }

    #[test]
    fn hours_of_half_an_hour_s_shift_are_not_those_of_utc() {
        let kolkata = calendar("Asia/Kolkata", Step::Hour);
        assert_eq!(
            kolkata.floor(time("2026-11-23T18:29:00Z")),
            time("2026-11-23T17:30:00Z")
        );
        let (from, to) = (time("2026-11-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
        assert!(!kolkata.has_whole_hours(from, to));
        assert!(calendar("Europe/Berlin", Step::Day).has_whole_hours(from, to));
        // Half an hour of summer time.
        let (from, to) = (time("2026-03-01T00:00:00Z"), time("2026-05-01T00:00:00Z"));
        assert!(!calendar("Australia/Lord_Howe", Step::Day).has_whole_hours(from, to));
    }

    #[test]
    fn zones_are_named_and_nothing_else_is_one() {
        for name in [
            "",
            "Mars/Olympus",
            "+01:00",
            "../etc/passwd",
            &"a".repeat(65),
        ] {
            assert!(zone(name).is_err(), "{name}");
        }
        assert_eq!(calendar("UTC", Step::Day).zone_name(), "UTC");
        assert_eq!(
            calendar("Europe/Berlin", Step::Day).zone_name(),
            "Europe/Berlin"
        );
    }
}
