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
    let mut total = Some(0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let bare = unit.is_empty() && digits == given.trim().len();
        let unit = if bare { SECOND } else { microseconds_of(unit).ok_or(HOW)? };
        total = total.zip(multiplied(number, unit)?).and_then(|(a, b)| a.checked_add(b));
        rest = after.trim_start();
    }
    match total.map(Duration::from_micros) {
        Some(time) if time <= LONGEST => Ok(time),
        _ => Err("this is longer than a year".into()),
    }
}

/// Returns a decimal number of units in microseconds, or `None` if that is too long for any use.
fn multiplied(number: &str, unit: u64) -> Result<Option<u64>, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(HOW);
    }
    // Digits beyond the sixth are below a microsecond of any unit that people give them with.
    let fraction = &fraction[..fraction.len().min(6)];
    let part: u64 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| HOW)? };
    let part = part * unit / 10u64.pow(fraction.len() as u32);
    // Only a number that is too large cannot be parsed: it has nothing but digits.
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    Ok(whole.and_then(|whole| whole.checked_mul(unit)?.checked_add(part)))
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

const SECOND: u64 = 1_000_000;

fn microseconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" | "msec" => SECOND / 1000,
        "s" | "sec" | "second" | "seconds" => SECOND,
        "m" | "min" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hour" | "hours" => 3600 * SECOND,
        _ => return None,
    })
}

/// Formats a length of time: `0.4 ms`, `230 ms`, `4.2 s`, `2 min 5 s`.
pub fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..10_000 => format!("{} ms", tenths(micros, 1000)),
        10_000..1_000_000 => format!("{} ms", (micros + 500) / 1000),
        1_000_000..60_000_000 => format!("{} s", tenths(micros, 1_000_000)),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// Formats a quotient with one decimal place.
fn tenths(value: u64, unit: u64) -> String {
    let tenths = (value + unit / 20) / (unit / 10);
    format!("{}.{}", tenths / 10, tenths % 10)
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
            (".5s", 500),
            ("5.", 5_000),
            ("1.5h", 5_400_000),
            ("0.1230000001s", 123),
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
