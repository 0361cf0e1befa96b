//! The PROXY protocol, versions 1 and 2: what a proxy says of its client before the client's own bytes. Pure.
//!
//! By the specification of `HAProxy` (`doc/proxy-protocol.txt`, 2020/03/05). Whom to believe is decided elsewhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Before the addresses of version 2: signature, version and command, family, length.
const V2_HEAD_LEN: usize = 16;
/// The most that may follow the head of version 2: addresses of Unix sockets have 216 bytes, and what proxies add (names,
/// certificates) is a few hundred more.
const V2_REST_LEN_MAX: usize = 2048;
/// How version 1 begins.
const V1_PREFIX: &[u8; 6] = b"PROXY ";
/// The longest line of version 1, its end included.
const V1_LEN_MAX: usize = 107;

/// What a proxy has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The client's address. None: the proxy speaks for itself (a health check), or doesn't say.
    pub(super) source: Option<SocketAddr>,
    /// How many bytes it took.
    pub(super) len: usize,
}

/// What the bytes at the beginning of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Header(Header),
    /// Only the beginning of one.
    Partial,
}

/// What came is no header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoHeader(&'static str);

impl fmt::Display for NoHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads a header at the beginning of what a proxy has sent.
///
/// # Errors
/// There is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    if begins_like(bytes, SIGNATURE) {
        v2(bytes)
    } else if begins_like(bytes, V1_PREFIX) {
        v1(bytes)
    } else {
        Err(NoHeader("it begins without one"))
    }
}

/// Whether these bytes are the beginning of what begins with `prefix`.
fn begins_like(bytes: &[u8], prefix: &[u8]) -> bool {
    let len = bytes.len().min(prefix.len());
    bytes[..len] == prefix[..len]
}

fn v1(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let head = &bytes[..bytes.len().min(V1_LEN_MAX)];
    let Some(end) = memchr::memchr(b'\n', head) else {
        return match bytes.len() < V1_LEN_MAX {
            true => Ok(Parsed::Partial),
            false => Err(NoHeader("its line is too long")),
        };
    };
    let line = head[..end]
        .strip_suffix(b"\r")
        .ok_or(NoHeader("its line doesn't end with a carriage return"))?;
    let line = std::str::from_utf8(line).map_err(|_| NoHeader("its line is not ASCII"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let source = match words[..] {
        // Whatever follows it is to be ignored.
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4", source, destination, from, to] => {
            let parse = |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
            Some(v1_source(parse, source, destination, from, to)?)
        }
        ["PROXY", "TCP6", source, destination, from, to] => {
            let parse = |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
            Some(v1_source(parse, source, destination, from, to)?)
        }
        _ => return Err(NoHeader("its line is malformed")),
    };
    Ok(Parsed::Header(Header {
        source,
        len: end + 1,
    }))
}

fn v1_source(
    parse: impl Fn(&str) -> Option<IpAddr>,
    source: &str,
    destination: &str,
    from: &str,
    to: &str,
) -> Result<SocketAddr, NoHeader> {
    let address = |text: &str| parse(text).ok_or(NoHeader("an address in it is malformed"));
    let (source, _) = (address(source)?, address(destination)?);
    let (from, _) = (port(from)?, port(to)?);
    Ok(SocketAddr::new(source, from))
}

/// Digits, without a sign or a zero before others.
fn port(text: &str) -> Result<u16, NoHeader> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    let port = text.parse().ok().filter(|_| is_plain);
    port.ok_or(NoHeader("a port in it is malformed"))
}

fn v2(bytes: &[u8]) -> Result<Parsed, NoHeader> {
    let Some(head) = bytes.first_chunk::<V2_HEAD_LEN>() else {
        return Ok(Parsed::Partial);
    };
    let [.., command, family, len_high, len_low] = *head;
    if command >> 4 != 2 {
        return Err(NoHeader("its version is neither 1 nor 2"));
    }
    let rest_len = usize::from(u16::from_be_bytes([len_high, len_low]));
    if rest_len > V2_REST_LEN_MAX {
        return Err(NoHeader("it is too long"));
    }
    let len = V2_HEAD_LEN + rest_len;
    let is_local = match command & 0xF {
        0 => true,
        1 => false,
        _ => return Err(NoHeader("its command is unknown")),
    };
    let Some(rest) = bytes.get(V2_HEAD_LEN..len) else {
        return Ok(Parsed::Partial);
    };
    let source = if is_local {
        None
    } else {
        v2_source(family, rest)?
    };
    Ok(Parsed::Header(Header { source, len }))
}

fn v2_source(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, NoHeader> {
    const SHORT: NoHeader = NoHeader("it is too short for its addresses");
    match family {
        // TCP or UDP over IPv4: two addresses, two ports.
        0x11 | 0x12 => {
            let [a, b, c, d, _, _, _, _, high, low, ..] = *rest.first_chunk::<12>().ok_or(SHORT)?;
            let address = IpAddr::from([a, b, c, d]);
            Ok(Some(SocketAddr::new(
                address,
                u16::from_be_bytes([high, low]),
            )))
        }
        // The same over IPv6.
        0x21 | 0x22 => {
            let rest = rest.first_chunk::<36>().ok_or(SHORT)?;
            let (address, after) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let port = after[16..].first_chunk::<2>().ok_or(SHORT)?;
            let address = IpAddr::from(*address);
            Ok(Some(SocketAddr::new(address, u16::from_be_bytes(*port))))
        }
        // Unix sockets, and what the proxy doesn't know.
        0x31 | 0x32 if rest.len() < 216 => Err(SHORT),
        0x00 | 0x31 | 0x32 => Ok(None),
        _ => Err(NoHeader("its family of addresses is unknown")),
    }
}

/// What must hold for any bytes, for fuzzers and tests.
#[cfg(any(test, fuzzing))]
pub(super) fn check(bytes: &[u8]) {
    let whole = parse(bytes);
    if let Ok(Parsed::Header(header)) = whole {
        assert!(header.len <= bytes.len());
        // The header is what it is whatever follows it, and nothing less is one.
        assert_eq!(parse(&bytes[..header.len]), whole);
        for len in 0..header.len {
            assert_eq!(parse(&bytes[..len]), Ok(Parsed::Partial), "{len}");
        }
    }
    // What was refused stays refused, and what is only a beginning was one before.
    for len in 0..bytes.len() {
        match (parse(&bytes[..len]), whole) {
            (Err(_), whole) => assert!(whole.is_err(), "{len}"),
            (Ok(Parsed::Header(_)), whole) => assert!(matches!(whole, Ok(Parsed::Header(_)))),
            (Ok(Parsed::Partial), _) => {}
        }
    }
    if whole == Ok(Parsed::Partial) {
        assert!(bytes.len() < V2_HEAD_LEN + V2_REST_LEN_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(bytes: &[u8], source: Option<&str>) {
        let source = source.map(|text| text.parse().unwrap());
        let len = bytes.len();
        let header = Ok(Parsed::Header(Header { source, len }));
        assert_eq!(parse(bytes), header, "{}", bytes.escape_ascii());
        check(bytes);
        check(&[bytes, b"{\"function\":\"host.ping\"}\n"].concat());
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &len, rest].concat()
    }

    /// The examples of the specification, sections 2.1 and 2.2.
    #[test]
    fn lines_of_version_1() {
        expect(
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            Some("192.168.0.1:56324"),
        );
        expect(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Some("255.255.255.255:65535"),
        );
        let longest = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        expect(
            longest,
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        );
        expect(b"PROXY UNKNOWN\r\n", None);
        let worst = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
        assert_eq!(worst.len(), V1_LEN_MAX);
        expect(worst, None);
    }

    #[test]
    fn headers_of_version_2() {
        let v4 = [10, 1, 2, 3, 10, 0, 0, 1, 0xDB, 0x02, 0x30, 0x39];
        expect(&v2(1, 0x11, &v4), Some("10.1.2.3:56066"));
        // What proxies add after the addresses (TLVs) is not for us.
        let with_tlv = [&v4[..], &[0x04, 0x00, 0x01, 0x00]].concat();
        expect(&v2(1, 0x11, &with_tlv), Some("10.1.2.3:56066"));
        let mut v6 = [0; 36];
        v6[..2].copy_from_slice(&[0x20, 0x01]);
        v6[15] = 9;
        v6[32..34].copy_from_slice(&[0x01, 0x02]);
        expect(&v2(1, 0x21, &v6), Some("[2001::9]:258"));
        // A health check of the proxy's own: addresses are to be ignored, whatever they are.
        expect(&v2(0, 0x00, &[]), None);
        expect(&v2(0, 0x11, &v4), None);
        expect(&v2(0, 0x77, &[1, 2, 3]), None);
        expect(&v2(1, 0x00, &[]), None);
        expect(&v2(1, 0x31, &[0; 216]), None);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let lines: [&[u8]; 20] = [
            b"{\"function\":\"host.ping\"}\n",
            b"\x16\x03\x01",
            b"GET / HTTP/1.1\r\n",
            b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY\tTCP4 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
            b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
            b"PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n",
            b"PROXY \r\n",
            b"PROXY \xff\r\n",
            b"\r\n\r\n\0\r\nQUIT\r",
        ];
        for line in lines {
            assert!(parse(line).is_err(), "{}", line.escape_ascii());
            check(line);
        }
        assert!(parse(&[b"PROXY UNKNOWN".as_slice(), &[b' '; 200]].concat()).is_err());
        let wrong = [
            v2(2, 0x11, &[0; 12]),
            v2(1, 0x11, &[0; 11]),
            v2(1, 0x21, &[0; 35]),
            v2(1, 0x31, &[0; 215]),
            v2(1, 0x41, &[0; 216]),
            v2(1, 0x11, &[0; V2_REST_LEN_MAX + 1]),
            [&SIGNATURE[..], &[0x11, 0x11, 0, 12], &[0; 12]].concat(),
        ];
        for bytes in wrong {
            assert!(parse(&bytes).is_err(), "{}", bytes.escape_ascii());
            check(&bytes);
        }
    }
}
