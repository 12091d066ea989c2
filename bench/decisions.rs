//! How long the pure parts take (bench/parts.rs), by criterion.
//!
//! Time depends on the machine and on its load; `bench-check` counts instructions of the same parts.

#[allow(dead_code, reason = "rounds are counted by `bench-check` alone")]
mod parts;

use criterion::{Criterion, criterion_group, criterion_main};

fn decisions(criterion: &mut Criterion) {
    for part in parts::PARTS {
        let Ok(mut round) = (part.make)() else {
            // A part that cannot be set up must not look like one that is quick.
            std::process::abort();
        };
        criterion.bench_function(part.name, |bencher| bencher.iter(&mut round));
    }
}

criterion_group!(benches, decisions);
criterion_main!(benches);
