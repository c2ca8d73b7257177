//! Which shard an object is.

use mailtrail_crds::shard::shard_name;

/// The number that an object's name stands for.
pub(super) fn index_of(name: &str, count: u16) -> Option<u16> {
    let index = name.rsplit('-').next()?.parse().ok()?;
    (index < count && shard_name(index) == name).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_shards_where_it_is_written_as_we_write_it() {
        assert_eq!(index_of("config-0007", 256), Some(7));
        assert_eq!(index_of("config-0256", 256), None);
        assert_eq!(index_of("config-7", 256), None);
    }
}
