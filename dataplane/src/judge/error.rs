//! What is wrong with a rules file.

use std::fmt;

/// Most faults told of one file; the rest is counted.
const TOLD_MAX: usize = 20;

/// One thing that is wrong with the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesFault {
    /// Line, from 1 on; 0 where the whole text is meant.
    pub line: u64,
    /// Path of the field, such as `rules[3].verdict`; empty where none is meant.
    pub field: String,
    /// What would be right.
    pub rule: String,
}

/// Everything that is wrong with a rules file.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
pub struct RulesError {
    /// What is wrong, in the order of lines.
    pub faults: Vec<RulesFault>,
    /// How much more there is.
    pub more: usize,
}

impl RulesError {
    /// One fault of the text as a whole.
    pub(crate) fn whole(rule: String) -> Self {
        let mut error = Self::default();
        error.add(0, String::new(), rule);
        error
    }

    pub(super) fn add(&mut self, line: u64, field: String, rule: String) {
        if self.faults.len() == TOLD_MAX {
            self.more += 1;
        } else {
            self.faults.push(RulesFault { line, field, rule });
        }
    }

    pub(super) fn count(&self) -> usize {
        self.faults.len() + self.more
    }

    /// Sorted, or nothing where nothing is wrong.
    pub(super) fn done(mut self) -> Result<(), Self> {
        if self.faults.is_empty() {
            return Ok(());
        }
        self.faults.sort_by_key(|fault| fault.line);
        Err(self)
    }
}

impl fmt::Display for RulesFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.rule)
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}
