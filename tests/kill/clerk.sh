# Adds entries to the log of a BMC, for as long as it lives. Arguments: address, file of notes.
#
# It notes each that was acknowledged: `entry ID DATA` (the ID as two bytes), `event` for one that has no answer.
host=$1
notes=$2
ipmi() {
	ipmitool -I lanplus -C 17 -H "$host" -U admin -f "$DRYRACK_BMC_PASSWORD_FILE" "$@"
}

number=0
while :; do
	number=$((number + 1))
	high=$((number / 256))
	low=$((number % 256))
	# Of a type without a time, which the BMC keeps as it is.
	if id=$(ipmi raw 0x0a 0x44 0 0 0xe0 $high $low 0 0 0 0 0 0 0 0 0 0 0); then
		printf 'entry%s %02x%02x\n' "$id" $high $low >>"$notes"
	fi
	if ipmi event 1 >/dev/null; then
		echo event >>"$notes"
	fi
done
