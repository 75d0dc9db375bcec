"""What an administrator of machines does with pyghmi: python3 administrator.py ADDRESS PASSWORD"""

import sys
import time

from pyghmi.ipmi import command

bmc = command.Command(bmc=sys.argv[1], userid="admin", password=sys.argv[2])


def boot_device(name):
    device = bmc.get_bootdev()
    print(f"{name}:", device["bootdev"], device["persistent"], device["uefimode"])


print("power before:", bmc.get_power()["powerstate"])
bmc.set_bootdev("network", uefiboot=True)
boot_device("once")
bmc.set_bootdev("network", persist=True)
boot_device("always")
bmc.set_power("on", wait=10)
print("power after:", bmc.get_power()["powerstate"])
print("health:", bmc.get_health())
for sensor in bmc.get_sensor_data():
    print("sensor:", sensor.name, sensor.value, sensor.units)
system = bmc.get_inventory_of_component("System")
print("serial:", system["Serial Number"])
print("uuid:", system["UUID"])
print("network:", bmc.get_net_configuration()["ipv4_address"])
for user in bmc.get_users().values():
    print("user:", user["uid"], user["name"], user["access"]["privilege_level"])


def boots():
    return [event for event in bmc.get_event_log() if event["component_type"] == "System Boot"]


# The machine is on as soon as it is told so; that it boots is in the log when it does.
for _ in range(40):
    if boots():
        break
    time.sleep(0.5)
print("event:", f"{boots()[0]['component_type']}: {boots()[0]['event']}")
