//! Objects of JSON with fields that are known: each at most once, and no others.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

/// What the fields of an object become. There are at most 32 of them.
pub(super) trait Fields<'de>: Default {
    /// What the object is, for messages.
    const WHAT: &'static str;
    /// The names of the fields.
    const KNOWN: &'static [&'static str];
    /// The numbers of those that must be there.
    const REQUIRED: &'static [usize];

    /// Reads the value of the field of that number.
    fn read<A: MapAccess<'de>>(&mut self, number: usize, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object; a list is none.
pub(super) fn object<'de, T: Fields<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Fields<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let (mut fields, mut seen) = (T::default(), 0_u32);
        while let Some(number) = map.next_key_seed(Name(T::KNOWN))? {
            if seen & 1 << number != 0 {
                return Err(A::Error::duplicate_field(T::KNOWN[number]));
            }
            seen |= 1 << number;
            fields.read(number, &mut map)?;
        }
        match T::REQUIRED.iter().find(|number| seen & 1 << **number == 0) {
            None => Ok(fields),
            Some(number) => Err(A::Error::missing_field(T::KNOWN[*number])),
        }
    }
}

/// The name of a field, read as its number.
struct Name(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        let shown = || name.chars().take(64).collect::<String>();
        self.0.iter().position(|known| *known == name).ok_or_else(|| E::unknown_field(&shown(), self.0))
    }
}
