//! How an input becomes another one: changes that know a little of what stands in it.

/// What a decoder is given: a body, and for binary requests how much of it is said to be JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(super) header_length: Option<usize>,
    pub(crate) body: Vec<u8>,
}

impl From<Vec<u8>> for Input {
    fn from(body: Vec<u8>) -> Self {
        Self { header_length: None, body }
    }
}

impl Input {
    /// As it stands in a file: the header length, all ones for none, and the body.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let length = self.header_length.map_or(u64::MAX, |length| length as u64);
        [&length.to_le_bytes(), &self.body[..]].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (length, body) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap());
        Self { header_length: (length != u64::MAX).then(|| usize::try_from(length).unwrap()), body: body.to_vec() }
    }
}

/// Numbers from a seed: splitmix64 (Steele, Lea and Flood 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    fn choice<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..(start + self.below(33)).min(length)
    }
}

/// Bodies do not grow beyond this.
const LIMIT_BYTES: usize = 64 << 10;
/// What may be deeper than a decoder thinks.
const DEPTHS: [usize; 6] = [1, 2, 31, 127, 129, 5000];

const NUMBERS: [&str; 18] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e39",
    "1e999",
    "0.1",
    "1E-400",
];
const TOKENS: [&str; 24] = [
    "null",
    "true",
    "false",
    "NaN",
    "Infinity",
    "[]",
    "{}",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\"name\":",
    "\"data\":",
    "\"shape\":",
    "\"datatype\":",
    "\"parameters\":{\"binary_data_size\":4}",
    "\"features\":",
];
/// Little-endian lengths, and varints as in protobuf.
const LENGTHS: [&[u8]; 10] = [
    &[0, 0, 0, 0],
    &[1, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0x80],
    &[0, 0, 1, 0],
    &[0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
];

/// A changed copy: one to four changes; `other` gives pieces.
pub(super) fn mutate(input: &Input, other: &Input, random: &mut Random) -> Input {
    let mut changed = input.clone();
    for _ in 0..=random.below(4) {
        change(&mut changed, other, random);
        changed.body.truncate(LIMIT_BYTES);
    }
    changed
}

fn change(input: &mut Input, other: &Input, random: &mut Random) {
    let length = input.body.len();
    let range = random.range(length);
    let body = &mut input.body;
    match random.below(12) {
        0 if length > 0 => body[random.below(length)] ^= 1 << random.below(8),
        1 if length > 0 => body[random.below(length)] = u8::try_from(random.below(256)).unwrap(),
        2 => drop(body.drain(range)),
        3 => body.truncate(range.start),
        4 => replace_number(body, random),
        5 => drop(body.splice(range, random.choice(&TOKENS).bytes())),
        6 => drop(body.splice(range, random.choice(&LENGTHS).iter().copied())),
        7 => overwrite(body, range.start, random.choice(&LENGTHS)),
        8 => repeat(body, range, random),
        9 => {
            let piece = random.range(other.body.len());
            drop(body.splice(range, other.body[piece].iter().copied()));
        }
        10 => nest(body, range, random),
        _ => lie(input, random),
    }
}

/// Puts another number in the place of one that stands there in digits.
fn replace_number(body: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(body.len());
    let Some(start) = body.iter().skip(from).position(u8::is_ascii_digit).map(|place| from + place) else { return };
    let digits = body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    drop(body.splice(start..start + digits, random.choice(&NUMBERS).bytes()));
}

fn overwrite(body: &mut [u8], start: usize, bytes: &[u8]) {
    body[start..].iter_mut().zip(bytes).for_each(|(old, new)| *old = *new);
}

fn repeat(body: &mut Vec<u8>, range: std::ops::Range<usize>, random: &mut Random) {
    let piece = body[range.clone()].repeat(1 + random.below(64));
    drop(body.splice(range.end..range.end, piece));
}

/// Puts a range into many brackets.
fn nest(body: &mut Vec<u8>, range: std::ops::Range<usize>, random: &mut Random) {
    let depth = DEPTHS[random.below(DEPTHS.len())];
    let (open, close) = if random.below(2) == 0 { ("[", "]") } else { ("{\"a\":", "}") };
    drop(body.splice(range.end..range.end, close.repeat(depth).bytes()));
    drop(body.splice(range.start..range.start, open.repeat(depth).bytes()));
}

/// Says something else about how much of the body is JSON, or what the body says about a length.
fn lie(input: &mut Input, random: &mut Random) {
    if let Some(length) = input.header_length {
        let lies = [
            0,
            length.wrapping_sub(1),
            length.wrapping_add(1),
            input.body.len(),
            input.body.len() + 1,
            usize::MAX / 2,
            random.below(input.body.len()),
        ];
        input.header_length = Some(lies[random.below(lies.len())]);
    } else {
        replace_number(&mut input.body, random);
    }
}
