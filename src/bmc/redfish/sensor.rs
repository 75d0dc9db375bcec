//! The sensors of the chassis, in the old form (Power, Thermal) and in the new one.

use serde_json::{Value, json};

use super::odata::{healthy, link, powered, resource};
use crate::bmc::Bmc;
use crate::bmc::sensors::{SENSORS, Sensor, SensorKind};

/// What the one power supply can give, in watts.
const CAPACITY: u32 = 500;

/// Returns the sensors that the machine has, with their index.
fn present(bmc: &Bmc) -> impl Iterator<Item = (usize, &'static Sensor)> {
    let has_fans = bmc.identity.has_fans;
    SENSORS.iter().enumerate().filter(move |(_, sensor)| sensor.kind != SensorKind::Fan || has_fans)
}

/// Returns the identifiers of the sensors.
pub(super) fn ids(bmc: &Bmc) -> Vec<String> {
    present(bmc).map(|(_, sensor)| id(sensor)).collect()
}

fn id(sensor: &Sensor) -> String {
    sensor.name.replace(' ', "")
}

/// Finds a sensor by its identifier.
pub(super) fn find(bmc: &Bmc, text: &str) -> Option<usize> {
    present(bmc).find(|(_, sensor)| id(sensor) == text).map(|(index, _)| index)
}

fn uri(bmc: &Bmc, sensor: &Sensor) -> String {
    format!("{}/Sensors/{}", bmc.redfish.settings.chassis_uri(), id(sensor))
}

/// The thresholds in the unit of the sensor: upper, then lower; each non-critical, critical, fatal.
fn thresholds(sensor: &Sensor) -> [Option<u32>; 6] {
    let [a, b, c] = sensor.thresholds.upper;
    let [d, e, f] = sensor.thresholds.lower;
    [a, b, c, d, e, f].map(|raw| (raw != 0).then(|| u32::from(raw) * u32::from(sensor.factor)))
}

fn of_kind(bmc: &Bmc, kind: SensorKind) -> impl Iterator<Item = &'static Sensor> {
    present(bmc).map(|(_, sensor)| sensor).filter(move |sensor| sensor.kind == kind)
}

/// Returns a sensor.
pub(super) fn sensor(bmc: &Bmc, index: usize) -> Option<Value> {
    let sensor = SENSORS.get(index)?;
    let (kind, unit, context) = match sensor.kind {
        SensorKind::Temperature => ("Temperature", "Cel", "CPU"),
        SensorKind::Fan => ("Rotational", "{rev}/min", "Fan"),
        SensorKind::Power => ("Power", "W", "PowerSupply"),
    };
    let value = sensor.value(bmc.power().is_on());
    const NAMES: [&str; 6] =
        ["UpperCaution", "UpperCritical", "UpperFatal", "LowerCaution", "LowerCritical", "LowerFatal"];
    let limits: serde_json::Map<String, Value> = NAMES
        .iter()
        .zip(thresholds(sensor))
        .filter_map(|(name, limit)| Some(((*name).to_owned(), json!({ "Reading": limit? }))))
        .collect();
    let mut rest = json!({
        "ReadingType": kind,
        "ReadingUnits": unit,
        "Reading": value,
        "PhysicalContext": context,
        "Status": powered(value.is_some()),
    });
    if !limits.is_empty() {
        rest["Thresholds"] = Value::Object(limits);
    }
    Some(resource("Sensor", &uri(bmc, sensor), &id(sensor), sensor.name, rest))
}

/// Adds the thresholds that the old schemas have.
fn add_thresholds(object: &mut Value, sensor: &Sensor) {
    const NAMES: [&str; 6] = [
        "UpperThresholdNonCritical",
        "UpperThresholdCritical",
        "UpperThresholdFatal",
        "LowerThresholdNonCritical",
        "LowerThresholdCritical",
        "LowerThresholdFatal",
    ];
    for (name, limit) in NAMES.iter().zip(thresholds(sensor)) {
        if let Some(limit) = limit {
            object[*name] = json!(limit);
        }
    }
}

/// Returns temperatures and fans in the old form.
pub(super) fn thermal(bmc: &Bmc) -> Value {
    let is_on = bmc.power().is_on();
    let thermal = format!("{}/Thermal", bmc.redfish.settings.chassis_uri());
    let part = |array: &str, index: usize, sensor: &Sensor, rest: Value| {
        let mut object = json!({
            "@odata.id": format!("{thermal}#/{array}/{index}"),
            "MemberId": index.to_string(),
            "Name": sensor.name,
            "SensorNumber": sensor.number,
            "Status": powered(sensor.value(is_on).is_some()),
        });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        add_thresholds(&mut object, sensor);
        object
    };
    let temperatures: Vec<Value> = of_kind(bmc, SensorKind::Temperature)
        .enumerate()
        .map(|(index, sensor)| {
            let rest = json!({ "ReadingCelsius": sensor.value(is_on), "PhysicalContext": "CPU" });
            part("Temperatures", index, sensor, rest)
        })
        .collect();
    let fans: Vec<Value> = of_kind(bmc, SensorKind::Fan)
        .enumerate()
        .map(|(index, sensor)| {
            let rest =
                json!({ "Reading": sensor.value(is_on), "ReadingUnits": "RPM", "PhysicalContext": "Chassis" });
            let mut fan = part("Fans", index, sensor, rest);
            if let Some(fan) = fan.as_object_mut() {
                fan.shift_remove("SensorNumber");
            }
            fan
        })
        .collect();
    resource(
        "Thermal",
        &thermal,
        "Thermal",
        "Thermal",
        json!({
            "Status": healthy(),
            "Temperatures@odata.count": temperatures.len(),
            "Temperatures": temperatures,
            "Fans@odata.count": fans.len(),
            "Fans": fans,
        }),
    )
}

fn consumption(bmc: &Bmc) -> Option<u32> {
    of_kind(bmc, SensorKind::Power).next()?.value(bmc.power().is_on())
}

/// Returns power in the old form.
pub(super) fn power(bmc: &Bmc) -> Value {
    let power = format!("{}/Power", bmc.redfish.settings.chassis_uri());
    let watts = consumption(bmc);
    let identity = &bmc.identity;
    resource(
        "Power",
        &power,
        "Power",
        "Power",
        json!({
            "PowerControl": [{
                "@odata.id": format!("{power}#/PowerControl/0"),
                "MemberId": "0",
                "Name": "System Power",
                "PowerConsumedWatts": watts,
                "PowerCapacityWatts": CAPACITY,
                "Status": healthy(),
            }],
            "PowerControl@odata.count": 1,
            "PowerSupplies": [{
                "@odata.id": format!("{power}#/PowerSupplies/0"),
                "MemberId": "0",
                "Name": "Power Supply 1",
                "PowerSupplyType": "AC",
                "LineInputVoltageType": "AC240V",
                "LineInputVoltage": 230,
                "PowerCapacityWatts": CAPACITY,
                "LastPowerOutputWatts": watts,
                "Manufacturer": identity.manufacturer,
                "Model": "Virtual power supply",
                "SerialNumber": supply_serial(bmc),
                "Status": healthy(),
            }],
            "PowerSupplies@odata.count": 1,
        }),
    )
}

fn supply_serial(bmc: &Bmc) -> String {
    format!("{}-PSU1", bmc.identity.serial)
}

/// Returns the power subsystem.
pub(super) fn power_subsystem(bmc: &Bmc) -> Value {
    let uri = format!("{}/PowerSubsystem", bmc.redfish.settings.chassis_uri());
    resource(
        "PowerSubsystem",
        &uri,
        "PowerSubsystem",
        "Power subsystem",
        json!({
            "CapacityWatts": CAPACITY,
            "PowerSupplies": link(&format!("{uri}/PowerSupplies")),
            "Status": healthy(),
        }),
    )
}

/// Returns the power supply.
pub(super) fn power_supply(bmc: &Bmc) -> Value {
    let uri = format!("{}/PowerSubsystem/PowerSupplies/1", bmc.redfish.settings.chassis_uri());
    resource(
        "PowerSupply",
        &uri,
        "1",
        "Power Supply 1",
        json!({
            "PowerSupplyType": "AC",
            "PowerCapacityWatts": CAPACITY,
            "Manufacturer": bmc.identity.manufacturer,
            "Model": "Virtual power supply",
            "SerialNumber": supply_serial(bmc),
            "LineInputStatus": "Normal",
            "Status": healthy(),
        }),
    )
}

/// Returns the thermal subsystem.
pub(super) fn thermal_subsystem(bmc: &Bmc) -> Value {
    let uri = format!("{}/ThermalSubsystem", bmc.redfish.settings.chassis_uri());
    resource(
        "ThermalSubsystem",
        &uri,
        "ThermalSubsystem",
        "Thermal subsystem",
        json!({ "Fans": link(&format!("{uri}/Fans")), "Status": healthy() }),
    )
}

/// Returns the fan.
pub(super) fn fan(bmc: &Bmc) -> Option<Value> {
    let sensor = of_kind(bmc, SensorKind::Fan).next()?;
    let uri = format!("{}/ThermalSubsystem/Fans/1", bmc.redfish.settings.chassis_uri());
    let value = sensor.value(bmc.power().is_on());
    let most = u32::from(u8::MAX) * u32::from(sensor.factor);
    Some(resource(
        "Fan",
        &uri,
        "1",
        sensor.name,
        json!({
            "PhysicalContext": "Chassis",
            "SpeedPercent": {
                "DataSourceUri": self::uri(bmc, sensor),
                "Reading": value.map(|value| value * 100 / most),
                "SpeedRPM": value,
            },
            "Status": powered(value.is_some()),
        }),
    ))
}
