//! Step: networks, each with the place and day it was published.

use ipnet::IpNet;
use serde_saphyr::{Location, Spanned};

use super::document::{Network, Text};
use super::{NETWORKS_MAX, RANGES_MAX, Reading, SOURCE_MAX_BYTES};

impl Reading {
    pub(super) fn networks(&mut self, networks: &[Spanned<Network>]) {
        if !self.has_room(networks, NETWORKS_MAX, "networks") {
            return;
        }
        let mut ranges = 0;
        for (at, network) in networks.iter().enumerate() {
            let field = format!("networks[{at}]");
            self.network(network, &field);
            ranges += network.value.ranges.len();
            if ranges > RANGES_MAX {
                let rule = format!("makes more than {RANGES_MAX} ranges of all networks together");
                return self.fault(network.referenced, format!("{field}.ranges"), rule);
            }
        }
    }

    fn network(&mut self, network: &Spanned<Network>, field: &str) {
        let Network {
            name,
            source,
            date,
            ranges,
        } = &network.value;
        self.name(name, &format!("{field}.name"));
        self.source(source.as_ref(), network.referenced, field);
        self.date(date.as_ref(), network.referenced, field);
        if ranges.is_empty() {
            let rule = "must have ranges: a network that is not known is left out";
            self.fault(network.referenced, format!("{field}.ranges"), rule);
        }
        let mut read = Vec::with_capacity(ranges.len());
        for (at, range) in ranges.iter().enumerate() {
            let rule = match range.value.parse::<IpNet>() {
                Ok(net) if net.trunc() == net => {
                    read.push(net);
                    continue;
                }
                Ok(net) => format!("has bits beyond its prefix: {} is meant?", net.trunc()),
                Err(_) => {
                    "must be an address range such as 192.0.2.0/24 or 2001:db8::/32".to_owned()
                }
            };
            self.fault(range.referenced, format!("{field}.ranges[{at}]"), rule);
        }
        if self.networks.insert(name.value.clone(), read).is_some() {
            self.fault(name.referenced, format!("{field}.name"), "is there twice");
        }
    }

    /// Case 90: a range without a published source is nobody's word.
    fn source(&mut self, source: Option<&Text>, network_at: Location, field: &str) {
        let is_web = |text: &str| text.starts_with("https://") && text.len() > "https://".len();
        let good = |text: &&Text| is_web(&text.value) && text.value.len() <= SOURCE_MAX_BYTES;
        if source.filter(good).is_none() {
            let at = source.map_or(network_at, |source| source.referenced);
            let rule = format!(
                "must be the https:// address that the ranges are published at, of {SOURCE_MAX_BYTES} bytes at most"
            );
            self.fault(at, format!("{field}.source"), rule);
        }
    }

    fn date(&mut self, date: Option<&Text>, network_at: Location, field: &str) {
        let is_date = |text: &&Text| text.value.parse::<jiff::civil::Date>().is_ok();
        if date.filter(is_date).is_none() {
            let at = date.map_or(network_at, |date| date.referenced);
            let rule = "must be the day they were published, such as 2026-09-21";
            self.fault(at, format!("{field}.date"), rule);
        }
    }
}
