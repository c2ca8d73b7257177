//! The Helm chart: what it renders, what an API server says of that, and what
//! it watches; on a node, where there may be one, that it works.

mod certificates;
mod chart;
mod delivered;
mod dry_run;
mod exposed;
mod exposure;
mod images;
mod monitoring;
mod node;
mod pages;
mod refused;
mod replicas;
mod same;
mod shop;
mod verified;
mod whole;
