//! A confusion table: rows are who caused the hits, columns the verdicts.

use std::fmt;

use mailtrail_core::event::Verdict;

use crate::judged::Judged;

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Human, "human"),
    (Verdict::Proxy, "proxy"),
    (Verdict::Prefetch, "prefetch"),
    (Verdict::Scanner, "scanner"),
    (Verdict::Unknown, "unknown"),
];

pub(crate) struct Table([[usize; VERDICTS.len()]; VERDICTS.len()]);

impl Table {
    pub(crate) fn of(hits: &[Judged]) -> Self {
        let mut table = Self(Default::default());
        for hit in hits {
            table.0[place(hit.label)][place(hit.verdict)] += 1;
        }
        table
    }

    pub(crate) fn people_as_machines(&self) -> usize {
        self.sum(is_person, is_machine)
    }

    pub(crate) fn machines_as_people(&self) -> usize {
        self.sum(is_machine, is_person)
    }

    fn sum(&self, label: fn(Verdict) -> bool, verdict: fn(Verdict) -> bool) -> usize {
        let cells = VERDICTS.iter().flat_map(|(row, _)| {
            let columns = VERDICTS.iter().map(|(column, _)| *column);
            columns.map(|column| (*row, column))
        });
        let meant = cells.filter(|(row, column)| label(*row) && verdict(*column));
        meant
            .map(|(row, column)| self.0[place(row)][place(column)])
            .sum()
    }
}

fn is_person(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Human | Verdict::Proxy)
}

fn is_machine(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Prefetch | Verdict::Scanner)
}

fn place(verdict: Verdict) -> usize {
    let at = VERDICTS.iter().position(|(known, _)| *known == verdict);
    at.expect("all verdicts are listed")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| caused by | human | proxy | prefetch | scanner | unknown |\n")?;
        f.write_str("|---|---|---|---|---|---|\n")?;
        for (row, (_, name)) in self.0.iter().zip(VERDICTS) {
            if row.iter().sum::<usize>() == 0 {
                continue;
            }
            write!(f, "| {name} |")?;
            for count in row {
                write!(f, " {count} |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
