# Powers a machine by its BMC and changes its variables, for as long as it lives. Arguments: address, file of notes.
#
# Each round has a number. It notes `wants N` before it asks for what the machine is to start with: HTTP boot from a URL
# that ends with the number, and Secure Boot in even rounds only.
host=$1
notes=$2
ipmi() {
	ipmitool -I lanplus -C 17 -H "$host" -U admin -f "$DRYRACK_BMC_PASSWORD_FILE" "$@"
}
try() {
	"$@" >/dev/null || echo "failed $*" >>"$notes"
}
change() {
	curl --silent --show-error --fail --insecure --user "admin:$(cat "$DRYRACK_BMC_PASSWORD_FILE")" \
		--request PATCH --header 'Content-Type: application/json' --data "$2" \
		"https://$host/redfish/v1/Systems/1$1"
}
until_power() {
	until [ "$(ipmi power status)" = "Chassis Power is $1" ]; do sleep 0.02; done
}

round=0
until_power off
while :; do
	round=$((round + 1))
	echo "wants $round" >>"$notes"
	secure=true
	[ $((round % 2)) -eq 0 ] || secure=false
	try change /SecureBoot "{\"SecureBootEnable\": $secure}"
	try change "" "{\"Boot\": {\"BootSourceOverrideTarget\": \"UefiHttp\", \"BootSourceOverrideEnabled\": \"Once\", \"HttpBootUri\": \"http://10.67.0.1/$round\"}}"
	try ipmi power on
	until_power on
	try ipmi chassis bootdev bios
	try ipmi power cycle
	try ipmi power reset
	try ipmi power off
	until_power off
done
