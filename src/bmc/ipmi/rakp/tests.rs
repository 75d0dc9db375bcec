//! The vectors that ipmitool and FreeIPMI accepted.

use super::super::command::GET_CHASSIS_STATUS;
use super::super::message::Request;
use super::super::packet::{self, PayloadType};
use super::super::rmcp::Datagram;
use super::super::suite::Cipher;
use super::Facts;

/// Computes all values of a login as admin with the password "password", and Get Chassis Status in that session.
fn check(cipher: Cipher) -> [String; 5] {
    let counting = |from: u8| std::array::from_fn(|position| from + position as u8);
    let facts = Facts {
        cipher,
        console: 0xa0a2_a3a4,
        bmc: 0x0403_0201,
        console_random: counting(0x10),
        bmc_random: counting(0x20),
        guid: counting(0x40),
        role: 0x14,
        name: b"admin".to_vec(),
    };
    let password = b"password";
    let key = facts.integrity_key(password, None);
    let keys = facts.keys(&key);
    let message = Request::new(GET_CHASSIS_STATUS, 1, &[]).encode();
    let wire = packet::seal(&keys, facts.bmc, 1, PayloadType::Ipmi, &message, &counting(0x60));
    let Some(Datagram::Ipmi(body)) = Datagram::parse(&wire) else { panic!("not IPMI") };
    let Some(packet::Packet::Plus(sealed)) = packet::Packet::parse(body) else { panic!("not RMCP+") };
    assert_eq!(packet::open(&keys, &sealed), Some(message));
    [
        hex(&facts.bmc_proof(password)),
        hex(&facts.console_proof(password)),
        hex(&key),
        hex(&facts.check_value(&key)),
        hex(&wire),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn suite_3() {
    assert_eq!(
        check(Cipher::Sha1),
        [
            "8a2f9a8ff4636549655e16d5644ab8c583046e4e",
            "09a2e4e2c3f1b3f11e9d9b8813731691a55861f9",
            "d1ac7c2fd468a197e20fbd43743bb42e4db03700",
            "14c0013addc3400556e1e8d9",
            "0600ff0706c001020304010000002000606162636465666768696a6b6c6d6e6fdd6b5c9580f0ee011172a0a8abdc0f6b\
             ffff02077e52184441ad16088f288cd8",
        ]
    );
}

#[test]
fn suite_17() {
    assert_eq!(
        check(Cipher::Sha256),
        [
            "a22253a8ac0643700074bda6e1d589e13f41def956b8e989c9ffa9cc98415c3e",
            "ccbd3244c42827e429d4b13ac8b657ef3ca115c2a395c108a44327b354949f82",
            "b642f007a5d6fc30531e4e4f1cdf627b144bad05abf3b2e6b6bc98407706239c",
            "9ee71f7ceca5d927a8c916b89d9ac5c2",
            "0600ff0706c001020304010000002000606162636465666768696a6b6c6d6e6f13786a990334a5f2453945eb1a4dfd46\
             ffff020724a237e24011d8a6fede468a192133e2",
        ]
    );
}

#[test]
fn a_key_of_the_bmc_replaces_the_password_only_in_the_integrity_key() {
    let facts = Facts {
        cipher: Cipher::Sha256,
        console: 1,
        bmc: 2,
        console_random: [1; 16],
        bmc_random: [2; 16],
        guid: [3; 16],
        role: 4,
        name: Vec::new(),
    };
    assert_eq!(facts.integrity_key(b"a", Some(b"k")), facts.integrity_key(b"b", Some(b"k")));
    assert_ne!(facts.integrity_key(b"a", None), facts.integrity_key(b"a", Some(b"k")));
}
