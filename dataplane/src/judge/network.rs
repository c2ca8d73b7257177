//! Signs of addresses: ranges, cut into steps that one binary search finds.

use std::net::IpAddr;

use ipnet::IpNet;

use super::set::Signs;

/// Ranges and the signs they give.
#[derive(Debug, Default)]
pub(super) struct Networks {
    v4: Steps<u32>,
    v6: Steps<u128>,
}

/// From each start on, up to the next, an address has these signs.
#[derive(Debug)]
struct Steps<T> {
    starts: Vec<T>,
    signs: Vec<Signs>,
}

/// A range by its first and last address.
struct Range<T> {
    first: T,
    last: T,
    signs: Signs,
}

impl Networks {
    /// Ranges may overlap and stand in any order.
    pub(super) fn new(ranges: &[(IpNet, Signs)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (range, signs) in ranges {
            match range {
                IpNet::V4(net) => v4.push(Range {
                    first: u32::from(net.network()),
                    last: u32::from(net.broadcast()),
                    signs: *signs,
                }),
                IpNet::V6(net) => v6.push(Range {
                    first: u128::from(net.network()),
                    last: u128::from(net.broadcast()),
                    signs: *signs,
                }),
            }
        }
        Self {
            v4: Steps::new(&v4, |last| last.checked_add(1)),
            v6: Steps::new(&v6, |last| last.checked_add(1)),
        }
    }

    pub(super) fn signs(&self, address: IpAddr) -> Signs {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.signs(u32::from(v4)),
            IpAddr::V6(v6) => self.v6.signs(u128::from(v6)),
        }
    }
}

impl<T: Copy + Ord> Steps<T> {
    /// `next` is the address after one; none after the last of all.
    fn new(ranges: &[Range<T>], next: impl Fn(T) -> Option<T>) -> Self {
        // At each bound, which signs begin and which end.
        let mut bounds: Vec<(T, Signs, bool)> = Vec::with_capacity(2 * ranges.len());
        for range in ranges {
            bounds.push((range.first, range.signs, true));
            if let Some(after) = next(range.last) {
                bounds.push((after, range.signs, false));
            }
        }
        bounds.sort_unstable_by_key(|(at, ..)| *at);
        let mut open = [0_u32; Signs::MAX];
        let mut steps = Self::default();
        for (at, signs, begins) in bounds {
            for number in signs.numbers() {
                open[number] = match begins {
                    true => open[number] + 1,
                    // A range's end never comes before its begin.
                    false => open[number].saturating_sub(1),
                };
            }
            steps.add(at, &open);
        }
        steps
    }

    fn add(&mut self, at: T, open: &[u32; Signs::MAX]) {
        let mut signs = Signs::NONE;
        for (number, count) in open.iter().enumerate() {
            if *count > 0 {
                signs |= Signs::of(number);
            }
        }
        if self.starts.last() == Some(&at) {
            self.starts.pop();
            self.signs.pop();
        }
        self.starts.push(at);
        self.signs.push(signs);
    }

    fn signs(&self, address: T) -> Signs {
        let after = self.starts.partition_point(|start| *start <= address);
        let step = after.checked_sub(1).and_then(|at| self.signs.get(at));
        step.copied().unwrap_or_default()
    }
}

impl<T> Default for Steps<T> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            signs: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(ranges: &[(&str, usize)]) -> Networks {
        let range = |(net, sign): &(&str, usize)| (net.parse().expect("a range"), Signs::of(*sign));
        Networks::new(&ranges.iter().map(range).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_has_the_signs_of_all_ranges_it_is_in() {
        let networks = networks(&[
            ("10.1.0.0/16", 2),
            ("10.0.0.0/8", 1),
            ("10.1.2.0/24", 3),
            ("10.1.2.0/25", 3),
            ("255.255.255.0/24", 4),
            ("2001:db8::/32", 5),
            ("ffff::/16", 6),
        ]);
        let check = |address: &str, expected: &[usize]| {
            let signs = networks.signs(address.parse().expect("an address"));
            assert_eq!(signs.numbers().collect::<Vec<_>>(), expected, "{address}");
        };
        check("9.255.255.255", &[]);
        check("10.0.0.0", &[1]);
        check("10.1.0.0", &[1, 2]);
        check("10.1.2.127", &[1, 2, 3]);
        check("10.1.2.128", &[1, 2, 3]);
        check("10.1.3.0", &[1, 2]);
        check("10.255.255.255", &[1]);
        check("11.0.0.0", &[]);
        check("255.255.255.255", &[4]);
        check("::ffff:10.1.2.3", &[1, 2, 3]);
        check("2001:db8:ffff::1", &[5]);
        check("2001:db9::", &[]);
        check("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &[6]);
    }

    #[test]
    fn without_ranges_no_address_has_a_sign() {
        let none = networks(&[]);
        assert!(none.signs(IpAddr::from([10, 0, 0, 1])).is_none());
        assert!(none.signs(IpAddr::from([0; 8])).is_none());
    }
}
