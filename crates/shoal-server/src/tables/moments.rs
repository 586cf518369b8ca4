//! Moments and days as ISO 8601 text, and back.
//!
//! A time is `YYYY-MM-DDThh:mm:ss`, up to nine digits of a fraction, and `Z` or an offset `+hh:mm` or `-hh:mm`. What is finer than
//! the unit is cut off towards the past. The calendar is Gregorian, years are 0001 to 9999, in UTC too; leap seconds do not exist.

use super::Unit;
use crate::json::moments::read;

const DAY: i64 = 86_400;
/// Seconds of the first and behind the last moment, 0001-01-01 and 10000-01-01.
const FIRST: i64 = -62_135_596_800;
const BEHIND: i64 = 253_402_300_800;
/// Characters of a date and of a time of whole seconds.
const DATE_LENGTH: usize = 10;
const TIME_LENGTH: usize = 19;
const NANOSECONDS: i128 = 1_000_000_000;

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NoZone,
    NoMoment,
}

/// Whether a count of units lies in the years 0001 to 9999.
pub(super) fn is_moment(count: i64, unit: Unit) -> bool {
    (FIRST..BEHIND).contains(&count.div_euclid(unit.per_second()))
}

/// Whether a count of days lies in the years 0001 to 9999.
pub(super) fn is_day(days: i32) -> bool {
    (FIRST..BEHIND).contains(&(i64::from(days) * DAY))
}

/// Units since 1970-01-01 UTC.
pub(super) fn read_time(text: &str, unit: Unit) -> Result<i64, Trouble> {
    let (clock, rest) = text.split_at_checked(TIME_LENGTH).ok_or(Trouble::NoMoment)?;
    let is_clock = [(DATE_LENGTH, b'T'), (13, b':'), (16, b':')].iter().all(|(place, mark)| clock.as_bytes()[*place] == *mark);
    let seconds = is_clock.then(|| read(clock)).flatten().ok_or(Trouble::NoMoment)?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if rest.starts_with('.') && !(1..=9).contains(&digits) {
        return Err(Trouble::NoMoment);
    }
    let (fraction, zone) = rest.split_at(if digits == 0 { 0 } else { digits + 1 });
    let nanoseconds =
        fraction.bytes().skip(1).chain(std::iter::repeat(b'0')).take(9).fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let seconds = seconds - offset(zone)?;
    let count = (i128::from(seconds) * NANOSECONDS + nanoseconds).div_euclid(NANOSECONDS / i128::from(unit.per_second()));
    i64::try_from(count).ok().filter(|_| (FIRST..BEHIND).contains(&seconds)).ok_or(Trouble::NoMoment)
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Result<i64, Trouble> {
    match zone.as_bytes() {
        [] => Err(Trouble::NoZone),
        b"Z" => Ok(0),
        [sign @ (b'+' | b'-'), h, hours, b':', m, minutes] if [h, hours, m, minutes].iter().all(|digit| digit.is_ascii_digit()) => {
            let (hours, minutes) =
                (i64::from(h - b'0') * 10 + i64::from(hours - b'0'), i64::from(m - b'0') * 10 + i64::from(minutes - b'0'));
            if hours > 23 || minutes > 59 {
                return Err(Trouble::NoMoment);
            }
            Ok((hours * 60 + minutes) * if *sign == b'-' { -60 } else { 60 })
        }
        _ => Err(Trouble::NoMoment),
    }
}

/// Days since 1970-01-01.
pub(super) fn read_date(text: &str) -> Option<i32> {
    if text.len() != DATE_LENGTH {
        return None;
    }
    read(text).and_then(|seconds| i32::try_from(seconds / DAY).ok())
}

/// Writes a moment in UTC, with as many digits of a fraction as its unit has.
pub(super) fn write_time(out: &mut Vec<u8>, count: i64, unit: Unit) {
    let seconds = count.div_euclid(unit.per_second());
    write_days(out, seconds.div_euclid(DAY));
    let clock = seconds.rem_euclid(DAY);
    for (mark, number) in [(b'T', clock / 3600), (b':', clock / 60 % 60), (b':', clock % 60)] {
        out.push(mark);
        digits(out, number, 2);
    }
    if unit.digits() > 0 {
        out.push(b'.');
        digits(out, count.rem_euclid(unit.per_second()), unit.digits());
    }
    out.push(b'Z');
}

/// Writes a day.
pub(super) fn write_date(out: &mut Vec<u8>, days: i32) {
    write_days(out, i64::from(days));
}

/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn write_days(out: &mut Vec<u8>, days: i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    digits(out, year_of_era + era * 400 + i64::from(month < 3), 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
}

/// Writes a number that is not negative in just so many digits.
fn digits(out: &mut Vec<u8>, mut number: i64, count: usize) {
    let start = out.len();
    out.resize(start + count, b'0');
    for place in out[start..].iter_mut().rev() {
        *place += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::rules::run;

    #[test]
    fn a_time_is_a_whole_number_of_units_cut_off_towards_the_past() {
        for (text, unit, count) in [
            ("1970-01-01T00:00:00Z", Unit::Second, 0),
            ("1970-01-01T00:00:00.9999Z", Unit::Millisecond, 999),
            ("1969-12-31T23:59:59.9999Z", Unit::Millisecond, -1),
            ("1969-12-31T23:59:59.000000001Z", Unit::Second, -1),
            ("2021-05-31T12:20:30.5+02:00", Unit::Microsecond, 1_622_456_430_500_000),
            ("2021-05-31T08:20:30-02:00", Unit::Second, 1_622_456_430),
            ("2262-04-11T23:47:16.854775807Z", Unit::Nanosecond, i64::MAX),
            ("0001-01-01T00:00:00Z", Unit::Microsecond, FIRST * 1_000_000),
        ] {
            assert_eq!(read_time(text, unit), Ok(count), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_told_from_no_time() {
        for text in ["2021-05-31T10:20:30", "2021-05-31T10:20:30.5"] {
            assert_eq!(read_time(text, Unit::Second), Err(Trouble::NoZone), "{text}");
        }
        for text in [
            "",
            "2021-05-31",
            "2021-05-31T10:20Z",
            "2021-05-31T10:20+01Z",
            "2021-05-31T10+01:00Z",
            "2021-05-31 10:20:30Z",
            "2021-05-31T10:20:30z",
            "2021-05-31T10:20:30+02",
            "2021-05-31T10:20:30+0200",
            "2021-05-31T10:20:30+24:00",
            "2021-05-31T10:20:30.Z",
            "2021-05-31T10:20:30.0123456789Z",
            "2021-02-29T10:20:30Z",
            "2021-05-31T23:59:60Z",
            "2021-05-31T24:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "\u{e9}021-05-31T10:20:30Z",
            "2021-05-31T10:20:3\u{e9}Z",
        ] {
            assert_eq!(read_time(text, Unit::Second), Err(Trouble::NoMoment), "{text}");
        }
        assert_eq!(read_time("2262-04-11T23:47:16.854775808Z", Unit::Nanosecond), Err(Trouble::NoMoment));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let moments = (FIRST..BEHIND, 0..1_000_000_000_i64, prop::sample::select(Unit::ALL.to_vec()));
        run(&moments, |(seconds, part, unit)| {
            let Some(count) = seconds.checked_mul(unit.per_second()).and_then(|count| count.checked_add(part % unit.per_second())) else {
                return;
            };
            let mut text = Vec::new();
            write_time(&mut text, count, unit);
            assert_eq!(read_time(std::str::from_utf8(&text).unwrap(), unit), Ok(count));
            let (days, mut text) = (i32::try_from(seconds.div_euclid(DAY)).unwrap(), Vec::new());
            write_date(&mut text, days);
            assert_eq!(read_date(std::str::from_utf8(&text).unwrap()), Some(days));
        });
    }
}
