//! No drive is ejected, stopped, detached or powered off while anything of it is mounted; with force,
//! only after it was dismounted by force.

use crate::run::Ran;
use crate::scenario::{anything, cases};
use proptest::prelude::*;
use unmoor_simulated::{Effect, Op};

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_ejected_while_mounted(scenario in anything()) {
        prop_assume!(!scenario.may_be_mounted_again_under_force());
        let ran = Ran::of(&scenario);
        for entry in ran.journal() {
            prop_assert_ne!(entry.effect.and_then(Effect::mounted), Some(true), "{:?}", entry);
        }
    }

    #[test]
    fn nothing_is_ejected_before_the_claim(scenario in anything()) {
        let ran = Ran::of(&scenario);
        let mut claimed = false;
        for entry in ran.journal() {
            claimed |= entry.effect == Some(Effect::Claimed)
                || (scenario.requested.discard && entry.op == Op::Claim && entry.answer.is_err());
            // A drive with nothing in it has nothing to claim.
            let empty = ran.fixture.before.medium != unmoor::Medium::Present;
            let lets_go = entry.effect.is_some_and(Effect::releases_medium);
            prop_assert!(claimed || empty || !lets_go, "{:?}", entry);
        }
    }
}
