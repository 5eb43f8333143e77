//! Tests that the default CI leaves out, each with a default test that keeps the same promise.

/// Names of tests, and of the default test that covers the promise of each.
pub const TESTS: &[(&str, &str)] = &[];

#[cfg(test)]
mod tests {
    use super::TESTS;
    use crate::vm::tests::chosen;

    #[test]
    fn each_promise_is_kept_by_a_default_test() {
        let names = |quick| chosen("", quick).iter().map(|test| test.name).collect::<Vec<_>>();
        let (all, quick) = (names(false), names(true));
        assert_eq!(all.len(), quick.len() + TESTS.len());
        for (name, covered_by) in TESTS {
            assert!(all.contains(name), "no test is called {name}");
            assert!(quick.contains(covered_by), "{name}: {covered_by} is no default test");
        }
    }
}
