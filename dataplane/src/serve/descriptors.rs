//! As many connections as the process may have files open: where the limit
//! was met by accepting, the store could not open its files either.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are not the public listener's to use: the store's files,
/// the API's and the admin port's connections, the runtimes' own.
const OTHERS: usize = 512;
/// Connections that are taken however low the limit is.
const CONNECTIONS_MIN: usize = 64;

/// How many of the wanted connections there is room for, after the process's
/// limit was raised as far as the system lets it (from 1,024 often).
pub(super) fn connections(wanted: usize) -> usize {
    let room = raised(wanted + OTHERS);
    let fitting = fit(wanted, room);
    if fitting < wanted {
        tracing::warn!(
            wanted,
            fitting,
            open_files = room,
            "fewer connections than set: the limit of open files (ulimit -n) is low"
        );
    }
    fitting
}

fn fit(wanted: usize, room: usize) -> usize {
    wanted.min(room.saturating_sub(OTHERS).max(CONNECTIONS_MIN))
}

/// The limit of open files, raised to what is needed where that may be.
fn raised(needed: usize) -> usize {
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (now, most) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    let wanted = needed.min(most);
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    let limit = match now < wanted && setrlimit(Resource::Nofile, raised).is_ok() {
        true => wanted,
        false => now,
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_others() {
        assert_eq!(fit(1000, 1_000_000), 1000);
        assert_eq!(fit(1000, usize::MAX), 1000);
        assert_eq!(fit(1000, 1024), 1024 - OTHERS);
        assert_eq!(fit(1000, 100), CONNECTIONS_MIN);
        assert_eq!(fit(10, 100), 10);
    }

    #[test]
    fn a_limit_is_raised_and_never_lowered() {
        let before = raised(0);
        assert!(raised(before) >= before);
        assert!(raised(1) >= before);
    }
}
