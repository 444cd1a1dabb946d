//! When a certificate begins and ceases to be valid. Needed for those that are
//! trusted as they are, which no chain leads to: webpki looks at the time only
//! on its way along a chain.

use rustls::CertificateError;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// `[0]`, the version.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Whether the certificate (DER) is valid at `now`, seconds since 1970.
pub fn check(certificate: &[u8], now: u64) -> Result<(), CertificateError> {
    let (from, to) = period(certificate).ok_or(CertificateError::BadEncoding)?;
    let now = i64::try_from(now).map_err(|_| CertificateError::BadEncoding)?;
    match now {
        now if now < from => Err(CertificateError::NotValidYet),
        now if now > to => Err(CertificateError::Expired),
        _ => Ok(()),
    }
}

/// Walks to the two times: certificate, what is signed of it, past version,
/// serial number, algorithm and issuer.
fn period(certificate: &[u8]) -> Option<(i64, i64)> {
    let mut outer = element(&mut &*certificate, SEQUENCE)?;
    let mut signed = element(&mut outer, SEQUENCE)?;
    // Absent in version 1.
    let mut behind_version = signed;
    if element(&mut behind_version, VERSION).is_some() {
        signed = behind_version;
    }
    element(&mut signed, INTEGER)?;
    element(&mut signed, SEQUENCE)?;
    element(&mut signed, SEQUENCE)?;
    let mut period = element(&mut signed, SEQUENCE)?;
    Some((time(&mut period)?, time(&mut period)?))
}

/// Takes one element of this kind off and returns what is in it.
fn element<'a>(bytes: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    if head[0] != kind {
        return None;
    }
    let (length, rest) = match head[1] {
        short @ 0..=0x7f => (usize::from(short), rest),
        // So many bytes of length; four are more than any certificate needs.
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            let number = |sum: usize, digit: &u8| sum << 8 | usize::from(*digit);
            (digits.iter().fold(0, number), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(content)
}

/// `YYMMDDHHMMSSZ` (1950 to 2049) or `YYYYMMDDHHMMSSZ`, in seconds since 1970.
fn time(bytes: &mut &[u8]) -> Option<i64> {
    let (digits, century) = match bytes.first()? {
        &UTC_TIME => (element(bytes, UTC_TIME)?, None),
        _ => {
            let text = element(bytes, GENERALIZED_TIME)?;
            let (century, rest) = text.split_first_chunk::<2>()?;
            (rest, Some(number(century)?))
        }
    };
    let (pairs, end) = digits.split_first_chunk::<12>()?;
    if end != b"Z" {
        return None;
    }
    let pair = |at: usize| number(&[*pairs.get(at)?, *pairs.get(at + 1)?]);
    let short = pair(0)?;
    let year = match century {
        Some(century) => century * 100 + short,
        None if short < 50 => 2000 + short,
        None => 1900 + short,
    };
    let (month, day) = (pair(2)?, pair(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let of_day = (pair(6)? * 60 + pair(8)?) * 60 + pair(10)?;
    Some(days(year, month, day) * 86_400 + of_day)
}

fn number(digits: &[u8; 2]) -> Option<i64> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
    Some(digit(digits[0])? * 10 + digit(digits[1])?)
}

/// Days since 1970-01-01. Years begin in March here, so that the leap day
/// comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let of_year = (153 * month + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    const OF_1970_03_01: i64 = 719_468;
    year * 365 + leaps + of_year - OF_1970_03_01
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        for (date, want) in [
            ((1970, 1, 1), 0),
            ((1970, 3, 1), 59),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 20), 20_777),
            ((2100, 3, 1), 47_541),
        ] {
            assert_eq!(days(date.0, date.1, date.2), want, "{date:?}");
        }
    }

    #[test]
    fn both_forms_of_a_time_are_read() {
        let read = |kind: u8, text: &str| {
            let mut bytes = vec![kind, text.len() as u8];
            bytes.extend(text.bytes());
            time(&mut &*bytes)
        };
        assert_eq!(read(UTC_TIME, "700101000001Z"), Some(1));
        assert_eq!(read(UTC_TIME, "500101000000Z"), Some(-631_152_000));
        assert_eq!(read(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(
            read(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        for wrong in [
            "7001010000Z",
            "700101000001+",
            "70010100000xZ",
            "",
            "701301000000Z",
        ] {
            assert_eq!(read(UTC_TIME, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_certificate_is_valid_between_its_two_times() {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2020, 5, 1);
        parameters.not_after = rcgen::date_time_ymd(2060, 5, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let der = certificate.der();
        let (from, to) = (1_588_291_200, 2_850_595_200);
        assert_eq!(period(der), Some((from as i64, to as i64)));
        assert_eq!(check(der, from), Ok(()));
        assert_eq!(check(der, to), Ok(()));
        assert_eq!(check(der, from - 1), Err(CertificateError::NotValidYet));
        assert_eq!(check(der, to + 1), Err(CertificateError::Expired));
        for cut in 0..der.len() - 1 {
            assert_eq!(check(&der[..cut], from), Err(CertificateError::BadEncoding));
        }
    }
}
