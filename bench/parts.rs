//! The pure parts of a call and of a changed catalog, each ready to be run again and again.
//!
//! One list for `decisions` (time) and `bench-check` (instructions). Parts read no clock that
//! matters and touch neither files nor the network.

mod call;
mod catalog;
mod door;
mod message;

use anyhow::Result;

/// One run of a part.
pub(crate) type Round = Box<dyn FnMut()>;

/// Something that is measured by itself.
pub(crate) struct Part {
    /// What it is called in tables and in the baseline.
    pub(crate) name: &'static str,
    /// Rounds that `bench-check` counts: more where a round is short or differs by chance.
    pub(crate) rounds: u32,
    /// Sets it up; what that costs is not measured.
    pub(crate) make: fn() -> Result<Round>,
}

const fn part(name: &'static str, rounds: u32, make: fn() -> Result<Round>) -> Part {
    Part { name, rounds, make }
}

/// Every part, in the order of a call.
pub(crate) const PARTS: &[Part] = &[
    part("envelope_read_200", 200, || message::read(200)),
    part("envelope_read_10k", 200, || message::read(10_000)),
    part("envelope_write_200", 200, || Ok(message::write(200))),
    part("envelope_write_10k", 200, || Ok(message::write(10_000))),
    part("headers_check", 200, message::headers),
    part("routing_by_name_of_400", 1000, catalog::resolve),
    part("admission_at_once", 200, door::at_once),
    part("admission_in_turn_of_64", 20, door::in_turn),
    part("next_leg_modern_200", 200, || message::next_leg_modern(200)),
    part("next_leg_modern_10k", 200, || message::next_leg_modern(10_000)),
    part("next_leg_legacy_200", 200, || Ok(message::next_leg_legacy(200))),
    part("rename_tool_200", 200, || Ok(message::rename(200))),
    part("state_seal", 100, || Ok(door::seal())),
    part("state_open", 100, door::open),
    part("catalog_of_400_new_names", 5, catalog::build_new),
    part("catalog_of_400_known_names", 10, catalog::build_known),
    part("catalog_of_400_one_server_changed", 10, catalog::rebuild),
    part("ladder_end_of_a_connection", 200, || Ok(catalog::ladder())),
    part("call_of_a_stream_200", 300, || call::whole(200)),
    part("call_of_a_stream_10k", 100, || call::whole(10_000)),
    part("call_in_this_process_200", 300, || call::in_process(200)),
];

/// So many bytes of English.
fn text(size: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(size).collect()
}
