//! What holds for every history of a ladder.

use proptest::prelude::*;

use super::*;

/// One thing that may happen to a ladder.
#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Start,
    Ready,
    Stable,
    Drain,
    Ended(Exit, f64),
}

fn step() -> impl Strategy<Value = Step> {
    let failure = prop_oneof![
        4 => Just(Exit::Lost),
        1 => Just(Exit::Bug),
        1 => (0_u64..200).prop_map(|wanted| Exit::RateLimited { retry_after: seconds(wanted) }),
    ];
    prop_oneof![
        6 => (0_u64..20_000).prop_map(Step::Wait),
        8 => Just(Step::Start),
        6 => Just(Step::Ready),
        2 => Just(Step::Stable),
        1 => Just(Step::Drain),
        8 => (failure, 0.0..=1.0).prop_map(|(exit, jitter)| Step::Ended(exit, jitter)),
        1 => (
            prop_oneof![
                Just(Exit::Asked), Just(Exit::Idle), Just(Exit::Refused), Just(Exit::Absent),
                Just(Exit::Fatal)
            ],
            0.0..=1.0,
        )
            .prop_map(|(exit, jitter)| Step::Ended(exit, jitter)),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    (0_u32..6, 1_u64..90, 1_u64..90, 1_u64..40, any::<bool>()).prop_map(
        |(intensity, period, cap, stable, transient)| Policy {
            restart: if transient { Restart::Transient } else { Restart::Permanent },
            cap: seconds(cap),
            stable: seconds(stable),
            intensity,
            period: seconds(period),
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_history_breaks_the_ladder(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut ladder = Ladder::new(policy.clone());
        let mut now = Duration::ZERO;
        let mut ready_at = None;
        // Times of retries since the past was last forgotten, and whether it had been ready.
        let mut retries: Vec<(Duration, bool)> = Vec::new();
        for step in steps {
            let (before, attempt) = (ladder.state(), ladder.attempt());
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Start => ladder.start(),
                Step::Ready => {
                    ladder.ready(now);
                    if before != State::Ready && ladder.state() == State::Ready {
                        retries.retain(|(_, was_ready)| *was_ready);
                    }
                }
                Step::Stable => ladder.stable(now),
                Step::Drain => ladder.drain(),
                Step::Ended(exit, jitter) => match ladder.ended(now, exit, jitter) {
                    Decision::Retry { after } => {
                        prop_assert!(FLOOR <= after && after <= policy.cap);
                        retries.push((now, before == State::Ready));
                        let counts = |(time, was_ready): &&(Duration, bool)| {
                            !was_ready || now.saturating_sub(*time) <= policy.period
                        };
                        let window = retries.iter().filter(counts);
                        prop_assert!(window.count() <= policy.intensity as usize);
                    }
                    Decision::Open { after } => {
                        prop_assert!(FLOOR <= after && after <= policy.cap);
                        prop_assert_eq!(ladder.state(), State::Open);
                    }
                    Decision::Fail { .. } => prop_assert_eq!(ladder.state(), State::Failed),
                    Decision::Stop => prop_assert_eq!(ladder.state(), State::Stopped),
                    Decision::Idle => prop_assert_eq!(ladder.state(), State::Idle),
                },
            }
            if matches!(step, Step::Ended(..)) && matches!(before, State::Failed | State::Stopped) {
                prop_assert_eq!(ladder.state(), before);
            }
            if ladder.attempt() < attempt {
                prop_assert_eq!(ladder.attempt(), 0);
                let since = ready_at.map(|time| now.saturating_sub(time));
                prop_assert!(since.is_some_and(|time| time >= policy.stable));
                retries.clear();
            }
            let is_ready = ladder.state() == State::Ready;
            ready_at = is_ready.then(|| ready_at.unwrap_or(now));
        }
    }

    #[test]
    fn an_open_circuit_waits_within_a_fifth_of_its_nominal_pause(
        jitter in 0.0..=1.0,
        failing in 0_u32..4,
    ) {
        let mut ladder = open(Policy::default());
        for _ in 0..failing {
            ladder.start();
            ladder.ended(Duration::ZERO, Exit::Lost, 0.5);
        }
        ladder.start();
        let nominal = (5.0 * f64::from(2_u32.pow(failing + 1))).min(50.0);
        let after = open_pause(ladder.ended(Duration::ZERO, Exit::Lost, jitter));
        let share = after.as_secs_f64() / nominal;
        prop_assert!((0.799..=1.201).contains(&share), "{share}");
    }
}
