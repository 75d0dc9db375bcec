use std::io::Write;

use insta::assert_snapshot;

use super::super::pcapng as written;
use super::*;
use crate::hint::chain;

/// Writes numbers in one byte order.
#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn two(self, number: u16) -> [u8; 2] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }

    fn four(self, number: u32) -> [u8; 4] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }

    /// The beginning of a pcap file of version 2.4.
    fn pcap(self, magic: u32, link: u32) -> Vec<u8> {
        let mut file = self.four(magic).to_vec();
        file.extend(self.two(2));
        file.extend(self.two(4));
        for number in [0, 0, 262_144, link] {
            file.extend(self.four(number));
        }
        file
    }

    /// A block of pcapng.
    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let body = [body, &[0; 3][..body.len().next_multiple_of(4) - body.len()]].concat();
        let length = self.four(u32::try_from(body.len()).unwrap() + 12);
        [&self.four(kind), &length, &body[..], &length].concat()
    }

    fn section(self) -> Vec<u8> {
        let body = [&self.four(0x1a2b_3c4d)[..], &self.two(1), &self.two(0), &[0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    fn interface(self, link: u16, snap_length: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&self.two(link)[..], &[0; 2], &self.four(snap_length)].concat();
        for (code, value) in options {
            body.extend(self.two(*code));
            body.extend(self.two(u16::try_from(value.len()).unwrap()));
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    /// An enhanced packet, with an option behind it.
    fn packet(self, interface: u32, units: u64, length: u32, data: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let captured = u32::try_from(data.len()).unwrap();
        for number in [interface, (units >> 32) as u32, units as u32, captured, length] {
            body.extend(self.four(number));
        }
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([self.two(2), self.two(4)].concat());
        body.extend(self.four(1));
        self.block(6, &body)
    }
}

/// Returns each frame as a line, and the error that ends the capture.
fn check(file: &[u8]) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text += &words;
        text.push('\n');
    };
    let failed = |error: ReadError| {
        let hint = error.hint().expect("each error has a hint");
        format!("error: {}\nhint: {hint}", chain(&error))
    };
    let mut reader = match Reader::open(file) {
        Ok(reader) => reader,
        Err(error) => return failed(error),
    };
    loop {
        match reader.next_frame() {
            Ok(Some(Frame { at, interface, link, length, data })) => {
                let at =
                    at.map_or("never".to_owned(), |at| format!("{}.{:09}", at.as_secs(), at.subsec_nanos()));
                line(format!("{at} {interface} {link} {length} {data:02x?}"));
            }
            Ok(None) => break,
            Err(error) => {
                line(failed(error));
                assert!(
                    reader.next_frame().is_ok_and(|frame| frame.is_none()),
                    "there is nothing behind an error"
                );
                break;
            }
        }
    }
    for Interface { link, name, snap_length } in reader.interfaces() {
        line(format!("interface: {link} {name:?} {snap_length:?}"));
    }
    text
}

#[test]
fn pcap_has_two_byte_orders_two_units_and_a_modified_format() {
    for order in [Order::Big, Order::Little] {
        for (magic, nanoseconds, more) in
            [(0xa1b2_c3d4, "000005000", 0), (0xa1b2_3c4d, "000000005", 0), (0xa1b2_cd34, "000005000", 8)]
        {
            let mut file = order.pcap(magic, 1);
            for number in [1_700_000_000, 5, 3, 60] {
                file.extend(order.four(number));
            }
            file.resize(file.len() + more, 9);
            file.extend([1, 2, 3]);
            let wanted =
                format!("1700000000.{nanoseconds} 0 1 60 [01, 02, 03]\ninterface: 1 None Some(262144)\n");
            assert_eq!(check(&file), wanted, "{magic:x}");
        }
    }
}

#[test]
fn lengths_of_old_versions_are_in_another_order() {
    let order = Order::Little;
    let file = |minor: u8, first, second| {
        let mut file = order.pcap(0xa1b2_c3d4, 1);
        file[6] = minor;
        for number in [1, 0, first, second] {
            file.extend(order.four(number));
        }
        file.extend([1, 2, 3]);
        check(&file).lines().next().unwrap_or_default().to_owned()
    };
    for old in [file(2, 60, 3), file(3, 60, 3), file(3, 3, 60), file(4, 3, 60)] {
        assert_eq!(old, "1.000000000 0 1 60 [01, 02, 03]");
    }
}

#[test]
fn pcapng_has_sections_interfaces_and_blocks_of_every_age() {
    let (big, little) = (Order::Big, Order::Little);
    let offset = 1_000_u64.to_be_bytes();
    let old = [
        &little.two(1)[..],
        &little.two(7),
        &[0; 4],
        &little.four(3),
        &little.four(2),
        &little.four(99),
        &[8, 9],
    ];
    let simple = |length| [&little.four(length)[..], &[1, 2, 3, 4]].concat();
    let file = [
        big.section(),
        big.interface(1, 96, &[(2, b"uplink"), (9, &[9]), (14, &offset), (0, &[])]),
        // Units of 1/1024 seconds.
        big.interface(113, 0, &[(9, &[0x8a])]),
        big.packet(0, 2_000_000_001, 70, &[1, 2, 3]),
        big.block(0x0bad_cafe, &[0; 99]),
        big.packet(1, 1536, 4, &[4, 5, 6, 7]),
        // A section of another machine.
        little.section(),
        little.interface(101, 2, &[]),
        little.interface(1, 0, &[(9, &[30])]),
        little.block(3, &simple(60)),
        little.block(2, &old.concat()),
        little.packet(0, 1, 0, &[]),
    ];
    assert_snapshot!(check(&file.concat()), @r#"
    1002.000000001 0 1 70 [01, 02, 03]
    1.500000000 1 113 4 [04, 05, 06, 07]
    never 2 101 60 [01, 02]
    0.000000000 3 1 99 [08, 09]
    0.000001000 2 101 0 []
    interface: 1 Some("uplink") Some(96)
    interface: 113 None None
    interface: 101 None Some(2)
    interface: 1 None None
    "#);
}

#[test]
fn what_dryrack_writes_is_read() {
    let packet = |direction| {
        let at = Duration::new(1_800_000_000, 5);
        let packet = written::Packet {
            interface: 0,
            at,
            direction,
            length: 60,
            data: &[1, 2, 3, 4, 5],
            comments: &[],
        };
        written::packet(&packet)
    };
    let file = [
        written::section(),
        written::interface("lan"),
        packet(None),
        packet(Some(written::Direction::Inbound)),
    ];
    assert_snapshot!(check(&file.concat()), @r#"
    1800000000.000000005 0 1 60 [01, 02, 03, 04, 05]
    1800000000.000000005 0 1 60 [01, 02, 03, 04, 05]
    interface: 1 Some("lan") None
    "#);
}

fn gzip(file: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(file).unwrap();
    encoder.finish().unwrap()
}

/// Three packets of 1000 bytes.
fn three() -> Vec<u8> {
    let order = Order::Little;
    let data: Vec<u8> = (0..1000_u32).map(|at| (at * at / 7) as u8).collect();
    let packets = (0..3).map(|at| order.packet(0, at, 1000, &data));
    [order.section(), order.interface(1, 0, &[])].into_iter().chain(packets).collect::<Vec<_>>().concat()
}

#[test]
fn a_compressed_capture_is_read() {
    assert_eq!(check(&gzip(&three())), check(&three()));
    // Archives are sometimes put one behind the other.
    assert_eq!(check(&[gzip(&three()[..1500]), gzip(&three()[1500..])].concat()), check(&three()));
}

/// Returns how many frames were read, and the error.
fn end(file: &[u8]) -> (usize, String) {
    let text = check(file);
    let frames = text.lines().filter(|line| line.contains(" 0 1 1000 ")).count();
    (frames, text.lines().find(|line| line.starts_with("error")).unwrap_or("complete").to_owned())
}

#[test]
fn a_capture_that_ends_anywhere_is_read_up_to_there() {
    let whole = three();
    let heads = whole.len() - 3 * 1040;
    for length in 1..=whole.len() {
        let (frames, error) = end(&whole[..length]);
        assert_eq!(frames, length.saturating_sub(heads) / 1040, "{length}");
        let complete = length == 28 || (length >= heads && (length - heads).is_multiple_of(1040));
        match complete {
            true => assert_eq!(error, "complete", "{length}"),
            false if length < 4 => assert!(error.contains("no capture"), "{error}"),
            false => assert!(error.contains("ends within a packet that begins at byte "), "{error}"),
        }
    }
    let packed = gzip(&whole);
    let (frames, error) = end(&packed[..packed.len() - 20]);
    assert!(frames < 3 && error.ends_with("of what gzip compressed"), "{frames} {error}");
    // Only the checksum at the end is missing.
    assert_eq!(end(&packed[..packed.len() - 6]).0, 3);
}

#[test]
fn damage_is_told_with_its_place() {
    let order = Order::Little;
    let heads = [order.section(), order.interface(1, 0, &[])].concat();
    let first = order.packet(0, 1_000_000, 60, &[1]);
    let damaged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut second = first.clone();
        change(&mut second);
        check(&[&heads[..], &first, &second].concat())
    };
    let mut long = order.pcap(0xa1b2_c3d4, 1);
    long.extend([0xff; 16]);
    let mut version = order.section();
    version[12] = 9;
    let cases = [
        damaged(&|block| block[4] = 0),
        damaged(&|block| block[4] = 61),
        damaged(&|block| block[8] = 5),
        damaged(&|block| block[20] = 200),
        damaged(&|block| *block = order.block(6, &[0; 8])),
        damaged(&|block| block[4..8].copy_from_slice(&[0xfc, 0xff, 0xff, 0x7f])),
        damaged(&|block| *block = order.interface(1, 0, &[(2, b"lan")])[..24].to_vec()),
        damaged(&|block| block[43] ^= 1),
        check(&long),
        check(&version),
        check(&[&order.section()[..8], &[0; 8]].concat()),
    ];
    assert_snapshot!(cases.join("\n"));
}

#[test]
fn other_files_are_recognised() {
    let cases = [
        check(b""),
        check(b"\x7fELF\x02\x01\x01\x00\x00"),
        check(b"12:00:01.5 IP 10.0.0.1 > 10.0.0.2"),
        check(b"\x28\xb5\x2f\xfd\x04\x58\x00"),
        check(b"x"),
        check(&gzip(b"text")),
        check(&gzip(b"")),
        check(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff"),
    ];
    assert_snapshot!(cases.join("\n\n"));
}
