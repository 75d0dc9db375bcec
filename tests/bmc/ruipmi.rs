//! ruipmi, a client in Rust that shares no code with ours.
//!
//! It opens its own sockets, so it runs in a process of its own in the network of the lab: this program once more, which
//! finds by its environment that it is the client. It does not repeat packets of a login, and returns output twice that
//! a BMC repeats; so what may be late is tried again here.

use std::env;
use std::time::{Duration, Instant};

use ruipmi::{AuthAlg, CipherSuite, CryptAlg, IntegrityAlg, IpmiClient, IpmiError, SdrRecord, SolSession};

use crate::terminal::{BOOT, FROM_NETWORK, SOON, Terminal, ipmitool};

/// The test, as its program knows it.
const NAME: &str = "bmc::ruipmi::manages_machines";

/// Where the client finds the serial number of the machine; it is set for the client only.
const SERIAL: &str = "RUIPMI_SERIAL";

const NODE: &str = "[node.a]\nmemory = \"160MiB\"\nnic.lan = {}\nprofile = \"tiny\"\nstart = \"manual\"\n";

const SUITE_17: CipherSuite = CipherSuite {
    authentication: AuthAlg::HmacSha256,
    integrity: IntegrityAlg::HmacSha256_128,
    confidentiality: CryptAlg::AesCbc128,
};

const SUITE_3: CipherSuite = CipherSuite {
    authentication: AuthAlg::HmacSha1,
    integrity: IntegrityAlg::HmacSha1_96,
    confidentiality: CryptAlg::AesCbc128,
};

/// Suite 15: no integrity, no encryption.
const SUITE_15: CipherSuite = CipherSuite {
    authentication: AuthAlg::HmacSha256,
    integrity: IntegrityAlg::None,
    confidentiality: CryptAlg::None,
};

#[test]
fn manages_machines() {
    if let Ok(serial) = env::var(SERIAL) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        return runtime.block_on(is_the_client(&serial));
    }
    let mut terminal = Terminal::open(NODE, &[]);
    let serial = terminal.plan("a")["kind"]["qemu"]["identity"]["serial"].clone();
    let program = env::current_exe().expect("this program");
    let client = terminal.ask(&format!(
        "{SERIAL}={} {} --exact {NAME} --nocapture",
        serial.as_str().expect("text"),
        program.display()
    ));
    assert!(client.code == 0 && client.said.contains("1 passed"), "{}", client.said);
    // What it did is what everybody sees.
    assert!(terminal.printed("a", "a23b") >= 1, "{}", client.said);
    assert_eq!(terminal.ask(&ipmitool("power status")).said, "Chassis Power is off\n");
    assert_eq!(terminal.ask(&ipmitool("raw 0x06 0x4a 0x01")).said, " 01 00 00\n");
    let log = terminal.succeeds(&ipmitool("sel elist"));
    let events: Vec<&str> = log.lines().filter_map(|line| line.rsplit(" | ").nth(1)).collect();
    let expected = ["S0/G0: working", "Initiated by power up", "PXE boot completed", "Power off/down"];
    assert_eq!(events, expected, "{log}");
    terminal.close();
}

/// What runs in the network of the lab.
async fn is_the_client(serial: &str) {
    let password = env::var("PASSWORD").expect("the password of the BMCs");
    for (user, password) in [("admin", "wrong"), ("nobody", password.as_str())] {
        let refused = log_in(user, password, SUITE_17).await;
        assert!(matches!(refused, Err(IpmiError::AuthFailed)), "{user}: {:?}", refused.err());
    }
    let refused = log_in("admin", &password, SUITE_15).await;
    assert!(matches!(refused, Err(IpmiError::BadResponse)), "suite 15: {:?}", refused.err());

    for suite in [SUITE_17, SUITE_3] {
        let mut client = log_in("admin", &password, suite).await.expect("a session");
        let device = client.get_device_id().await.expect("an answer");
        // After the completion code: device 20h, with SDRs, and IPMI 2.0.
        assert_eq!(
            (device[0], device[1], device[2] & 0x80, device[5]),
            (0, 0x20, 0x80, 0x02),
            "{device:02x?}"
        );
        assert!(!is_on(&mut client).await);
        client.close().await.expect("an end");
    }
    let mut client = log_in("admin", &password, SUITE_17).await.expect("a session");
    assert_eq!(serial_number(&mut client).await, serial);
    let off = readings(&mut client).await;
    assert_eq!(off, [("CPU Temp".to_owned(), 24.0), ("Power Meter".to_owned(), 12.0)]);
    assert_eq!(client.power_on().await.expect("an answer"), [0xd4], "no user may do this");
    be_administrator(&mut client).await;
    assert_eq!(client.power_on().await.expect("an answer"), [0]);
    assert!(is_on(&mut client).await);
    let on = readings(&mut client).await;
    let names: Vec<&str> = on.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, on[0].1), (vec!["CPU Temp", "FAN1", "Power Meter"], 42.0), "{on:?}");

    let mut line = client.activate_sol().await.expect("Serial over LAN");
    let booted = until(&mut client, &mut line, FROM_NETWORK, BOOT).await;
    assert!(booted.is_ok(), "{booted:?}");
    // An echo has no sum in it.
    let mut said = Err(String::new());
    for _ in 0..5 {
        client.sol_send(&mut line, b"echo a$((20+3))b\r").await.expect("it is typed");
        said = until(&mut client, &mut line, "a23b", SOON).await;
        if said.is_ok() {
            break;
        }
    }
    assert!(said.is_ok(), "{said:?}");
    // It takes the line over, and gives it back.
    let mut other = log_in("admin", &password, SUITE_3).await.expect("a session");
    other.activate_sol().await.expect("Serial over LAN");
    // What the machine prints in this moment would be taken for the answer; whether it had an effect is asked below.
    other.deactivate_sol().await.ok();

    let mut client = log_in("admin", &password, SUITE_3).await.expect("a session");
    let active = client.request(&[0x06, 0x4a, 0x01]).await.expect("an answer");
    assert_eq!(active, [0, 1, 0, 0], "no session has the line");
    be_administrator(&mut client).await;
    assert_eq!(client.power_off().await.expect("an answer"), [0]);
    let deadline = Instant::now() + SOON;
    while is_on(&mut client).await {
        assert!(Instant::now() < deadline, "it stays on");
    }
    // Not of a machine that is off.
    assert_eq!(client.hard_reset().await.expect("an answer"), [0xd5]);
    client.close().await.expect("an end");
}

/// Logs in; what is too late for the client is begun again.
async fn log_in(user: &str, password: &str, suite: CipherSuite) -> Result<IpmiClient, IpmiError> {
    let deadline = Instant::now() + SOON;
    loop {
        let mut client = IpmiClient::new("10.91.1.10", user, password, Some(suite), None, None).await?;
        match client.connect().await {
            Err(IpmiError::Timeout) if Instant::now() < deadline => {}
            Err(error) => return Err(error),
            Ok(()) => return Ok(client),
        }
    }
}

/// A session begins as that of a user; other clients ask for more by themselves.
async fn be_administrator(client: &mut IpmiClient) {
    let level = client.request(&[0x06, 0x3b, 0x04]).await.expect("an answer");
    assert_eq!(level, [0, 4]);
}

async fn is_on(client: &mut IpmiClient) -> bool {
    let status = client.get_chassis_status().await.expect("an answer");
    assert_eq!(status[0], 0, "{status:02x?}");
    status[1] & 1 != 0
}

/// Reads the serial number of the product from the FRU inventory.
async fn serial_number(client: &mut IpmiClient) -> String {
    let size = client.get_fru_info(0).await.expect("an answer");
    let size = u16::from_le_bytes([size[1], size[2]]);
    let mut inventory = Vec::new();
    while inventory.len() < usize::from(size) {
        let offset = u16::try_from(inventory.len()).expect("at most the size").to_le_bytes();
        let read = client.request(&[0x0a, 0x11, 0, offset[0], offset[1], 64]).await.expect("an answer");
        assert!(read[0] == 0 && read[1] > 0, "{read:02x?}");
        inventory.extend_from_slice(&read[2..]);
    }
    let header = ruipmi::parse_fru_common_header(&inventory).expect("a header");
    ruipmi::parse_fru_product_info(&inventory, &header).expect("a product").serial_number
}

/// Reads all sensors that have a value: their names, and the values.
async fn readings(client: &mut IpmiClient) -> Vec<(String, f32)> {
    let (mut next, mut readings) = ([0, 0], Vec::new());
    while next != [0xff, 0xff] {
        let record = client.request(&[0x0a, 0x23, 0, 0, next[0], next[1], 0, 0xff]).await.expect("an answer");
        assert_eq!(record[0], 0, "{record:02x?}");
        next = [record[1], record[2]];
        let header = ruipmi::parse_sdr_header(&record[3..]).expect("a header");
        let SdrRecord::Full(sensor) = ruipmi::parse_sdr_record(&header, &record[8..]) else { continue };
        let reading = client.get_sensor_reading(sensor.common.sensor_number).await.expect("an answer");
        assert_eq!(reading[0], 0, "{reading:02x?}");
        // Not one that is unavailable.
        if reading[2] & 0x20 == 0 {
            readings.push((sensor.name.clone(), ruipmi::calc_sensor_reading(reading[1], &sensor)));
        }
    }
    readings
}

/// Reads until the machine has printed a text; an error has what it printed instead.
async fn until(
    client: &mut IpmiClient,
    line: &mut SolSession,
    text: &str,
    within: Duration,
) -> Result<String, String> {
    let (deadline, mut printed) = (Instant::now() + within, Vec::new());
    while Instant::now() < deadline {
        printed.extend(client.sol_recv(line).await.expect("a packet"));
        let said = String::from_utf8_lossy(&printed);
        if said.contains(text) {
            return Ok(said.into_owned());
        }
    }
    Err(String::from_utf8_lossy(&printed).into_owned())
}
