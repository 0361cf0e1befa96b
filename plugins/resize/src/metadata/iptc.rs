//! IPTC-IIM: records of what news agencies say of a picture, in the resources that Photoshop puts into JPEG files.

/// What JPEG puts before Photoshop's resources.
pub(super) const JPEG_PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
/// The number of the resource that holds IPTC.
const RESOURCE: u16 = 0x0404;

/// Record 2: who made it, their title, whom to credit, the source, the copyright notice, whom to ask.
const RIGHTS: [u8; 6] = [80, 85, 110, 115, 116, 118];
/// Record 2: code and name of a place, city, part of it, state, code and name of the country.
const PLACE: [u8; 7] = [26, 27, 90, 92, 95, 100, 101];

/// The records among Photoshop's resources.
pub(super) fn of_resources(mut resources: &[u8]) -> Option<Vec<u8>> {
    while let Some(rest) = resources.strip_prefix(b"8BIM") {
        let (number, rest) = rest.split_first_chunk::<2>()?;
        // A name with its length before it, together of an even length.
        let name_len = usize::from(*rest.first()?) + 1;
        let rest = rest.get(name_len.next_multiple_of(2)..)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let body = rest.get(..len)?;
        if u16::from_be_bytes(*number) == RESOURCE {
            return Some(body.to_vec());
        }
        resources = rest.get(len.next_multiple_of(2)..).unwrap_or_default();
    }
    None
}

/// The resources that hold these records and nothing else.
pub(super) fn to_resources(records: &[u8]) -> Vec<u8> {
    let len = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let mut out = [
        b"8BIM".as_slice(),
        &RESOURCE.to_be_bytes(),
        &[0, 0],
        &len.to_be_bytes(),
        records,
    ]
    .concat();
    out.resize(out.len().next_multiple_of(2), 0);
    out
}

/// What says who made it, and whose it is, if anything does.
pub(super) fn rights(records: &[u8]) -> Option<Vec<u8>> {
    let is_wanted = |record: u8, set: u8| match record {
        // How texts are encoded, and the version.
        1 => set == 90,
        2 => set == 0 || RIGHTS.contains(&set),
        _ => false,
    };
    let says_something = sets(records).any(|(record, set, _)| record == 2 && RIGHTS.contains(&set));
    says_something.then(|| filtered(records, is_wanted))
}

/// All but where it was taken.
pub(super) fn without_place(records: &[u8]) -> Vec<u8> {
    filtered(records, |record, set| record != 2 || !PLACE.contains(&set))
}

fn filtered(records: &[u8], is_wanted: impl Fn(u8, u8) -> bool) -> Vec<u8> {
    let wanted = sets(records).filter(|(record, set, _)| is_wanted(*record, *set));
    wanted.flat_map(|(.., whole)| whole).copied().collect()
}

/// Record, number and all bytes of each data set, up to the first that isn't whole.
fn sets(mut rest: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    std::iter::from_fn(move || {
        let &[0x1C, record, set, high, low] = rest.first_chunk::<5>()? else {
            return None;
        };
        let len = usize::from(high) << 8 | usize::from(low);
        // The highest bit says that the length itself is as long as the other bits say.
        let whole_len = if high & 0x80 == 0 {
            5 + len
        } else {
            let digits = rest.get(5..5 + (len & 0x7FFF))?;
            let len = digits.iter().try_fold(0_usize, |len, digit| {
                Some(len.checked_mul(256)? + usize::from(*digit))
            })?;
            len.checked_add(5 + digits.len())?
        };
        let (whole, after) = rest.split_at_checked(whole_len)?;
        rest = after;
        Some((record, set, whole))
    })
}
