"""What an administrator does with pyghmi's Redfish half: python3 pyghmi_client.py ADDRESS PASSWORD FINGERPRINT"""

import hashlib
import sys
import time

from pyghmi.redfish import command

address, password, fingerprint = sys.argv[1:]


def is_ours(certificate):
    """Pins the certificate, as pyghmi's users do."""
    return hashlib.sha256(certificate).hexdigest() == fingerprint.replace(":", "").lower()


def log_in():
    """Logs in anew: pyghmi remembers for 30 seconds what it has read."""
    return command.Command(address, "admin", password, verifycallback=is_ours)


def boot_device(name):
    device = log_in().get_bootdev()
    print(f"{name}:", device["bootdev"], device["persistent"], device.get("uefimode"))


bmc = log_in()
print("power before:", bmc.get_power()["powerstate"])
bmc.set_bootdev("network", uefiboot=False)
boot_device("once")
bmc.set_bootdev("network", persist=True, uefiboot=False)
boot_device("always")
bmc.set_bootdev("default", uefiboot=False)
boot_device("default")
bmc.set_power("on", wait=True)
print("power after:", bmc.get_power()["powerstate"])
print("health:", bmc.get_health())
for sensor in bmc.get_sensor_data():
    print("sensor:", sensor.name, sensor.value, sensor.units)
inventory = dict(log_in().get_inventory())
print("parts:", *inventory)
print("serial:", inventory["System"]["Serial Number"])
print("uuid:", inventory["System"]["UUID"])
print("network:", bmc.get_net_configuration()["ipv4_address"])
bmc.create_user(0, "helper", "helper-1", privilege_level="operator")
for user in log_in().get_users().values():
    print("user:", user["uid"], user["name"], user["access"]["privilege_level"])
bmc.set_identify(True)
print("identify:", log_in().get_identify()["identifystate"])
print("settings:", *sorted(bmc.get_system_configuration()))
print("firmware:", *sorted(name for name, _ in bmc.get_firmware()))


def boots():
    return [event for event in log_in().get_event_log() if "boot" in event["message"]]


# The machine is on as soon as it is told so; that it boots is in the log when it does.
for _ in range(40):
    if boots():
        break
    time.sleep(0.5)
print("event:", boots()[0]["message"])
bmc.set_power("off", wait=True)
print("power at the end:", bmc.get_power()["powerstate"])
