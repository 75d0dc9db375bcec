"""What an operator does with sushy: python3 sushy_client.py URL PASSWORD COMMAND [ARGUMENT]..."""

import sys
import time

import sushy
import sushy.auth

url, password, command, *arguments = sys.argv[1:]
# Without a way out: by itself, sushy takes Basic where no session can be had.
login = sushy.auth.SessionAuth("admin", password)
service = sushy.Sushy(url, auth=login)
(system,) = service.get_system_collection().get_members()


def text(value):
    """Returns how Redfish writes a constant of sushy."""
    return str(getattr(value, "value", value))


def show_override():
    system.refresh(force=True)
    print("override:", text(system.boot.enabled), text(system.boot.target), text(system.boot.mode))


def describe():
    (manager,) = system.managers
    (chassis,) = service.get_chassis_collection().get_members()
    sessions = service.get_session_service().sessions.get_members()
    print("sessions:", *(session.username for session in sessions))
    print("system:", system.identity, system.name, system.manufacturer, text(system.power_state))
    print("serial:", system.serial_number)
    print("uuid:", system.uuid)
    print("boots from:", *sorted(map(text, system.get_allowed_system_boot_source_values())))
    print("resets:", *sorted(map(text, system.get_allowed_reset_system_values())))
    print("processors:", system.processors.summary.count, text(system.processors.summary.architecture))
    for mac, state in system.ethernet_interfaces.summary.items():
        print("NIC:", mac, text(state))
    print("disks:", *system.storage.drives_sizes_bytes)
    print("manager:", manager.identity, text(manager.manager_type), manager.name)
    for sensor in chassis.thermal.temperatures:
        print("sensor:", sensor.name, sensor.reading_celsius)
    firmwares = service.get_update_service().firmware_inventory.get_members()
    print("firmware:", *(firmware.identity for firmware in firmwares))
    show_override()


def boot(target, enabled):
    system.set_system_boot_options(
        sushy.BootSource(target), enabled=sushy.BootSourceOverrideEnabled(enabled)
    )
    show_override()


def legacy():
    """Asks for a mode that a machine with UEFI does not have."""
    try:
        system.set_system_boot_options(mode=sushy.BOOT_SOURCE_MODE_BIOS)
    except sushy.exceptions.BadRequestError as error:
        print("refused:", error.code, error.detail)
    show_override()


def reset(how, state):
    """Resets the system and waits until it is in a state."""
    system.reset_system(sushy.ResetType(how))
    for _ in range(100):
        system.refresh(force=True)
        if text(system.power_state) == state:
            break
        time.sleep(0.1)
    print("power:", text(system.power_state))


def media():
    """Lists the slots, which the system and its manager have in common."""
    (manager,) = system.managers
    for owner in (system, manager):
        for slot in owner.virtual_media.get_members():
            state = "inserted" if slot.inserted else "empty"
            print("slot:", slot.path, *sorted(map(text, slot.media_types)), state, slot.image)


def slot():
    """The slot for CDs."""
    (found,) = (one for one in system.virtual_media.get_members() if sushy.VirtualMediaType.CD in one.media_types)
    return found


def show_slot():
    found = slot()
    found.refresh(force=True)
    print("slot:", "inserted" if found.inserted else "empty", found.image)


def insert(image):
    try:
        slot().insert_media(image)
    except sushy.exceptions.HTTPError as error:
        print("refused:", error.status_code, error.code)
    show_slot()


def eject():
    slot().eject_media()
    show_slot()


def secure_boot():
    """Switches Secure Boot off and on again, which would be in force with the next start."""
    state = system.secure_boot

    def show():
        state.refresh(force=True)
        print("Secure Boot:", state.enabled, text(state.current_boot), text(state.mode))

    show()
    for enabled in (False, True):
        state.set_enabled(enabled)
        show()
    print("databases:", *(text(one.database_id) for one in state.databases.get_members()))


commands = {
    "boot": boot,
    "describe": describe,
    "eject": eject,
    "insert": insert,
    "legacy": legacy,
    "media": media,
    "override": show_override,
    "reset": reset,
    "secure-boot": secure_boot,
}
commands[command](*arguments)
login.close()
