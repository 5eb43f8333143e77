//! Lengths of time as people type them: `10s`, `1m30s`, `500ms`, `1.5h`; a bare number is seconds.

use std::time::Duration;

/// Maximum length of time; anything longer is a typing error.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Parses a length of time.
pub fn parse(given: &str) -> Result<Duration, String> {
    let mut rest = given.trim();
    if ["forever", "inf", "infinite", "infinity"].contains(&rest) {
        return Ok(LONGEST);
    }
    if rest.is_empty() {
        return Err(HOW.into());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| HOW)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let bare = unit.is_empty() && digits == given.trim().len();
        seconds += number * if bare { 1.0 } else { seconds_of(unit).ok_or(HOW)? };
        rest = after.trim_start();
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if time <= LONGEST => Ok(time),
        _ => Err("this is longer than a year".into()),
    }
}

const HOW: &str = "a time looks like 10s, 2m, 1m30s, 500ms or forever; a bare number is seconds";

/// Describes a wait of at most this long: `waiting up to 10.0 s`.
pub fn waiting(time: Duration) -> String {
    // What is left of `forever`.
    match time > LONGEST / 2 {
        true => "waiting".into(),
        false => format!("waiting up to {}", words(time)),
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" | "msec" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hour" | "hours" => 3600.0,
        _ => return None,
    })
}

/// Formats a length of time: `0.4 ms`, `230 ms`, `4.2 s`, `2 min 5 s`.
pub fn words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.01 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{:.0} min {:.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (given, ms) in [
            ("10s", 10_000),
            ("2m", 120_000),
            ("500ms", 500),
            ("5", 5_000),
            ("0", 0),
            ("1.5s", 1_500),
            ("0.25", 250),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            (" 2h ", 7_200_000),
            ("3min", 180_000),
        ] {
            assert_eq!(parse(given), Ok(Duration::from_millis(ms)), "{given}");
        }
    }

    #[test]
    fn an_invalid_time_is_refused() {
        for bad in
            ["", " ", "s", "10x", "-5s", "1e9", "10 20", "1..5s", "..", "1m30", "NaN", "infx"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("99999999999999999999h"), Err("this is longer than a year".into()));
    }

    #[test]
    fn times_are_shown_with_two_figures_or_so() {
        assert_eq!(words(Duration::from_micros(420)), "0.4 ms");
        assert_eq!(words(Duration::from_millis(230)), "230 ms");
        assert_eq!(words(Duration::from_millis(4210)), "4.2 s");
        assert_eq!(words(Duration::from_secs(125)), "2 min 5 s");
    }

    proptest! {
        #[test]
        fn nonsense_never_panics(given in any::<String>()) {
            _ = parse(&given);
        }

        #[test]
        fn whole_milliseconds_survive(ms in 0u64..1_000_000_000) {
            prop_assert_eq!(parse(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
        }
    }
}
