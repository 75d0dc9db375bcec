# Sourced by the scripts beside it: runs steps and prints at the end how long each took.
#
#   step COMMAND...          runs a command; the script ends when it fails
#   timed NAME COMMAND...    the same under another name
#
# Scripts that call each other share one table, which the outermost prints.

begin=$(date +%s)
running=
outermost=
if [ -z "${DRYRACK_STEPS:-}" ]; then
	outermost=yes
	DRYRACK_STEPS=$(mktemp)
	export DRYRACK_STEPS
fi
trap 'finish $?' EXIT
trap 'exit 130' INT TERM HUP

step() { timed "$*" "$@"; }

timed() {
	running=$1
	shift
	started=$(date +%s)
	echo "$0: [$((started - begin)) s] $*"
	"$@"
	printf '%s\t%s\n' "$(($(date +%s) - started))" "$running" >>"$DRYRACK_STEPS"
	running=
}

# The script ends: what it was doing if it failed, and the table.
finish() {
	[ -z "$running" ] || printf '%s\t%s (failed)\n' "$(($(date +%s) - started))" "$running" >>"$DRYRACK_STEPS"
	[ -n "$outermost" ] || return 0
	echo
	awk -F '\t' '{ printf "%6d s  %s\n", $1, $2 }' "$DRYRACK_STEPS"
	rm -f "$DRYRACK_STEPS"
	total=$(($(date +%s) - begin))
	if [ "$1" = 0 ]; then
		printf '%6d s  in total: %s passed\n' "$total" "$0"
	else
		printf '%6d s  in total: %s FAILED with exit code %d\n' "$total" "$0" "$1"
	fi
}
