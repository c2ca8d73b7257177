//! What is told of counts.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::calendar::Step;
use super::tally::Tally;
use super::wanted::Wanted;
use crate::api::schema::HitTotals;
use crate::store::HourCounts;

/// How much happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub(in crate::api) struct Stats {
    /// The begin of the first stretch.
    #[schema(format = "date-time")]
    pub since: String,
    /// The end of the last.
    #[schema(format = "date-time")]
    pub until: String,
    /// Whose hours and days they are.
    pub time_zone: String,
    /// How long a stretch is.
    pub by: Step,
    /// All stretches together.
    pub total: Counts,
    /// The stretches in which anything happened, in their order.
    pub stretches: Vec<Stretch>,
    /// By what was asked for with `group_by`, by name; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub groups: Option<Vec<Group>>,
    /// Whether there are more than these 1000 groups; what is in none of them
    /// is in the total all the same.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false, default = false)]
    pub more_groups: bool,
}

/// How much happened.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
pub(in crate::api) struct Counts {
    /// Mails that were rewritten and recorded. One that is rewritten again, for
    /// the same reader, counts once: when it was rewritten first.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
    /// First clicks per first open, by people: null without an open, and where
    /// either is not known.
    #[schema(required)]
    pub click_to_open: Option<f64>,
}

/// How much happened in an hour or on a day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StretchCounts)]
pub(in crate::api) struct Stretch {
    /// Its begin.
    #[schema(format = "date-time")]
    pub start: String,
    /// Mails that were rewritten and recorded for the first time.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
    /// First clicks per first open, by people: null without an open.
    #[schema(required)]
    pub click_to_open: Option<f64>,
}

/// How much happened with a message, link or tag.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupCounts)]
pub(in crate::api) struct Group {
    /// The message's id, the link's target, or the tag's value.
    pub name: String,
    /// Mails that were rewritten and recorded for the first time.
    pub sent: u64,
    /// Pixels loaded.
    pub opened: HitTotals,
    /// Links followed.
    pub clicked: HitTotals,
    /// First clicks per first open, by people: null without an open.
    #[schema(required)]
    pub click_to_open: Option<f64>,
}

impl Stats {
    /// What was counted of what was asked for.
    pub(super) fn of(wanted: &Wanted, tally: &Tally) -> Self {
        let stretches = tally.stretches.iter().map(Stretch::from).collect();
        let groups = tally.groups.iter().map(Group::from).collect();
        Self {
            since: wanted.from.to_string(),
            until: wanted.to.to_string(),
            time_zone: wanted.calendar.zone_name().to_owned(),
            by: wanted.calendar.step(),
            total: tally.total().into(),
            stretches,
            groups: wanted.group_by.as_ref().map(|_| groups),
            more_groups: tally.more_groups,
        }
    }
}

impl From<HourCounts> for Counts {
    fn from(counts: HourCounts) -> Self {
        let HourCounts {
            sent,
            sent_anonymous: _,
            opened,
            clicked,
        } = counts;
        let (opened, clicked) = (HitTotals::from(opened), HitTotals::from(clicked));
        // Counts are far below the 2^53 that an f64 holds exactly.
        let rate = |opened: u64, clicked: u64| clicked as f64 / opened as f64;
        let opens = opened.first.filter(|first| *first > 0);
        Self {
            sent,
            click_to_open: opens
                .zip(clicked.first)
                .map(|(opens, clicks)| rate(opens, clicks)),
            opened,
            clicked,
        }
    }
}

/// A row of counts under a key of its own: the fields stand beside the key, as
/// they do in [`Counts`].
macro_rules! keyed {
    ($row:ident by $key:ident: $of:ty) => {
        impl From<(&$of, &HourCounts)> for $row {
            fn from((key, counts): (&$of, &HourCounts)) -> Self {
                let Counts {
                    sent,
                    opened,
                    clicked,
                    click_to_open,
                } = (*counts).into();
                Self {
                    $key: key.to_string(),
                    sent,
                    opened,
                    clicked,
                    click_to_open,
                }
            }
        }
    };
}

keyed!(Stretch by start: Timestamp);
keyed!(Group by name: String);
