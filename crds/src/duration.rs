//! Retention as it is written (`45d`, `1080h`) and as it is meant: days.

/// Longest retention, in days: ten years.
pub const RETENTION_MAX_DAYS: u16 = 3650;

/// Why a retention is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Neither days nor hours.
    #[error("must be a number of days or hours: 45d, or 1080h")]
    Shape,
    /// Out of bounds, or not whole days.
    #[error("must be whole days, from 1d (24h) to 3650d (87600h)")]
    Range,
}

/// Reads a retention: digits without leading zero, then `d` or `h`.
pub fn retention_days(text: &str) -> Result<u16, RetentionError> {
    let (digits, hours_per_unit) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(digits), _) => (digits, 24),
        (_, Some(digits)) => (digits, 1),
        _ => return Err(RetentionError::Shape),
    };
    let shaped = (1..=5).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit());
    if !shaped {
        return Err(RetentionError::Shape);
    }
    let number: u32 = digits.parse().map_err(|_| RetentionError::Shape)?;
    let hours = number * hours_per_unit;
    if !hours.is_multiple_of(24) {
        return Err(RetentionError::Range);
    }
    match u16::try_from(hours / 24) {
        Ok(days) if days <= RETENTION_MAX_DAYS => Ok(days),
        _ => Err(RetentionError::Range),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_hours_say_the_same() {
        assert_eq!(retention_days("45d"), Ok(45));
        assert_eq!(retention_days("1080h"), Ok(45));
        assert_eq!(retention_days("1d"), Ok(1));
        assert_eq!(retention_days("3650d"), Ok(3650));
        assert_eq!(retention_days("87600h"), Ok(3650));
    }

    #[test]
    fn other_shapes_and_lengths_are_refused() {
        for text in [
            "", "d", "45", "045d", "0d", "4.5d", "1w", "45D", "-1d", "+1d", "999999h",
        ] {
            assert_eq!(retention_days(text), Err(RetentionError::Shape), "{text}");
        }
        for text in ["3651d", "99999d", "25h", "1h", "87624h"] {
            assert_eq!(retention_days(text), Err(RetentionError::Range), "{text}");
        }
    }
}
