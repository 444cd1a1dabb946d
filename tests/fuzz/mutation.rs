//! Makes new inputs out of known ones.

use crate::random::Random;

/// No input grows beyond this: short ones are tried more often.
const LONGEST: usize = 4096;

/// Bytes that mean something in one language or another.
const TELLING: &[u8] = b"\0\n\r\t \x0b\x0c\x1c:;,'\"\\(){}[]#=%+-.0129AZaz\x7f\x80\xc3\xfc\xff";

/// An input made out of one of the seeds, by one to eight changes.
pub fn mutated(random: &mut Random, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = pick(random, seeds).cloned().unwrap_or_default();
    for _ in 0..=random.below(8) {
        change(random, &mut bytes, seeds, words);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> Option<&'a T> {
    match from.len() {
        0 => None,
        count => from.get(random.below(count as u64) as usize),
    }
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
    let at = random.below(bytes.len() as u64 + 1) as usize;
    let length = match random.chance(80) {
        true => random.below(8),
        false => random.below(200),
    };
    let end = bytes.len().min(at + length as usize);
    match random.below(9) {
        0 => flip(random, bytes, at),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        2 => bytes.insert(at, *pick(random, TELLING).unwrap_or(&0)),
        3 | 4 => {
            let word = pick(random, words).copied().unwrap_or("0");
            // In place of something, as often as not.
            let end = if random.chance(50) { at } else { end };
            bytes.splice(at..end, word.bytes());
        }
        5 => drop(bytes.drain(at..end)),
        6 => {
            let again = bytes[at..end].to_vec();
            let at = random.below(bytes.len() as u64 + 1) as usize;
            bytes.splice(at..at, again);
        }
        7 => {
            // The beginning of this one, the end of another.
            let other = pick(random, seeds).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() as u64 + 1) as usize;
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => {
            let number = random.next() >> random.below(64);
            bytes.splice(at..end, number.to_string().into_bytes());
        }
    }
}

fn flip(random: &mut Random, bytes: &mut [u8], at: usize) {
    let bit = random.below(8);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}
