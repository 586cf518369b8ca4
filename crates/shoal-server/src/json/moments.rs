//! Moments in ISO 8601: a date, or a date, a `T` or a space, and a time with or without a zone, as whole seconds.
//!
//! The time is an hour, an hour and a minute, or those and a second with at most nine digits behind a point; the zone is
//! `Z`, `+hh`, `+hhmm` or `+hh:mm`, and UTC where it is not said. A moment is the second that it lies in: parts of one are cut off.
//! The calendar is Gregorian throughout, years 0001 to 9999; a day that does not exist, 24:00 and a second 60 are refused.
//! `shoal.values` reads the same, and `protocol/vectors/moments.json` holds both to it.

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Digits behind the point of a second, at most.
const FRACTION_DIGITS: usize = 9;

/// Whole seconds since 1970-01-01 UTC, if the text is a moment.
pub(crate) fn read(text: &str) -> Option<i64> {
    let mut text = Text(text.as_bytes());
    let midnight = text.date()? * DAY;
    if text.0.is_empty() {
        return Some(midnight);
    }
    if !(text.take(b'T') || text.take(b' ')) {
        return None;
    }
    let time = text.time()?;
    let offset = text.zone()?;
    text.0.is_empty().then_some(midnight + time - offset)
}

/// What is left of a text.
struct Text<'t>(&'t [u8]);

impl Text<'_> {
    /// Goes behind a byte, if it is the next one.
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.0.first() == Some(&wanted);
        self.0 = &self.0[usize::from(found)..];
        found
    }

    /// A number of just so many digits, within its limits.
    fn number(&mut self, digits: usize, least: i64, most: i64) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let next = |number: i64, byte: &u8| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'));
        number.iter().try_fold(0, next).filter(|number| (least..=most).contains(number))
    }

    /// Days since 1970-01-01.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4, 1, 9999)?;
        let month = self.take(b'-').then(|| self.number(2, 1, 12))??;
        let day = self.take(b'-').then(|| self.number(2, 1, length(year, month)))??;
        Some(days(year, month, day))
    }

    /// Seconds since midnight.
    fn time(&mut self) -> Option<i64> {
        let mut seconds = self.number(2, 0, 23)? * 3600;
        if self.take(b':') {
            seconds += self.number(2, 0, 59)? * 60;
            if self.take(b':') {
                seconds += self.number(2, 0, 59)?;
                if self.take(b'.') {
                    self.fraction()?;
                }
            }
        }
        Some(seconds)
    }

    /// Goes behind the parts of a second.
    fn fraction(&mut self) -> Option<()> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.0 = &self.0[digits..];
        (1..=FRACTION_DIGITS).contains(&digits).then_some(())
    }

    /// Seconds east of UTC; 0 where nothing is said.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.take(b'Z') {
            return Some(0);
        }
        let is_west = self.take(b'-');
        if !is_west && !self.take(b'+') {
            return None;
        }
        let mut offset = self.number(2, 0, 23)? * 3600;
        if self.take(b':') || !self.0.is_empty() {
            offset += self.number(2, 0, 59)? * 60;
        }
        Some(if is_west { -offset } else { offset })
    }
}

/// Days of a month.
const fn length(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + is_leap as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. A year begins in March here, so that a leap day is its last one.
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::description::Description;
    use crate::fault::{Code, Outcome};
    use crate::fuzz::rules::run;
    use crate::intake::admit;
    use crate::json::predict::{Form, decode};
    use crate::values::{Payload, Table};

    #[derive(Deserialize)]
    struct Case {
        text: String,
        seconds: Option<i64>,
    }

    #[test]
    fn every_vector_is_read_as_it_says() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../protocol/vectors/moments.json")).unwrap();
        assert!(cases.len() > 50);
        for Case { text, seconds } in cases {
            assert_eq!(read(&text), seconds, "{text:?}");
        }
    }

    #[test]
    fn each_day_of_the_calendar_follows_the_one_before_and_no_other_day_is_read() {
        let mut expected = -62_135_596_800;
        for year in 1..=9999 {
            for month in 0..=13 {
                for day in 0..=32 {
                    let exists = (1..=12).contains(&month) && (1..=length(year, month)).contains(&day);
                    assert_eq!(read(&format!("{year:04}-{month:02}-{day:02}")), exists.then_some(expected));
                    expected += if exists { DAY } else { 0 };
                }
            }
        }
        assert_eq!(expected, 253_402_300_800);
    }

    #[test]
    fn a_moment_is_the_same_in_every_zone() {
        let zone = (0..24_i64, 0..60_i64, any::<bool>());
        run(&(0..253_402_300_800_i64, zone), |(seconds, (hours, minutes, is_west))| {
            let offset = (hours * 60 + minutes) * 60 * if is_west { -1 } else { 1 };
            let local = (seconds + offset).rem_euclid(DAY);
            // The date of the vectors is enough here: the test above has all of them.
            let text = format!("2021-05-31T{:02}:{:02}:{:02}.9", local / 3600, local / 60 % 60, local % 60);
            let sign = if is_west { '-' } else { '+' };
            assert_eq!(read(&format!("{text}{sign}{hours:02}:{minutes:02}")), Some(1_622_419_200 + local - offset));
        });
    }

    #[test]
    fn text_that_is_none_is_refused_and_panics_nothing() {
        run(&"[0-9TZ:+. -]{0,30}|\\PC{0,12}", |text| {
            if let Some(seconds) = read(&text) {
                assert!((-62_135_596_800 - DAY..253_402_300_800 + DAY).contains(&seconds), "{text}");
            }
        });
    }

    const MOMENTS: &str = r#"{"name":"m","version":"1","runtime":"onnx","signature":{"inputs":[{"name":"at","dtype":"INT64","nullable":true,"moment":true},
        {"name":"n","dtype":"INT64"}],"outputs":[]},"binding":{"inputs":[{"column":"at","tensor":"at","rank":2,"missing":-1}]}}"#;

    fn table(description: &str, body: &str) -> Outcome<Table> {
        let description = Description::from_json(description)?;
        admit(&description, decode(body.as_bytes(), &Form::new(&description))?, body.len())
    }

    fn seconds(table: &Table) -> Vec<i64> {
        let Payload::Fixed(buffer) = &table.columns[0].payload else { panic!("fixed") };
        bytemuck::cast_slice(buffer.bytes()).to_vec()
    }

    #[test]
    fn a_moment_is_seconds_or_text_and_both_mean_the_same() {
        let body = r#"{"features":[{"at":1622456430,"n":0},{"at":"2021-05-31T10:20:30Z","n":0},{"at":"2021-05-31 12:20:30.9+02","n":0},
            {"at":null,"n":0},{"at":"2021-05-31","n":0}]}"#;
        let found = seconds(&table(MOMENTS, body).unwrap());
        assert_eq!(found, [1_622_456_430, 1_622_456_430, 1_622_456_430, -1, 1_622_419_200]);
        let alone = MOMENTS.replace(",\n        {\"name\":\"n\",\"dtype\":\"INT64\"}", "");
        assert_eq!(seconds(&table(&alone, r#"{"features":[["1969-12-31T23:59:59.5Z"],[null]]}"#).unwrap()), [-1, -1]);
    }

    #[test]
    fn text_that_is_no_moment_is_refused_by_column_and_record() {
        for wrong in ["2021-02-29", "2021-05-31T24:00", "1622456430", "", "yesterday"] {
            let body = format!(r#"{{"features":[{{"at":"2021-05-31","n":0}},{{"at":"{wrong}","n":0}}]}}"#);
            let fault = table(MOMENTS, &body).unwrap_err();
            assert_eq!(fault.code, Code::WrongDtype);
            assert_eq!(fault.message, format!("column \"at\" holds moments; value 1 is the text {wrong:?}"));
            assert!(fault.hint.as_ref().unwrap().contains("ISO 8601"));
        }
        assert_eq!(table(MOMENTS, r#"{"features":{"at":1.5,"n":0}}"#).unwrap_err().code, Code::WrongDtype);
        assert_eq!(table(MOMENTS, r#"{"features":{"at":0,"n":"2021-05-31"}}"#).unwrap_err().code, Code::WrongDtype);
    }
}
