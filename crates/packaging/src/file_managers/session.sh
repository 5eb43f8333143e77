# Opens a file manager on a folder with a mounted drive, and chooses the action in the menu of that drive.
# Called in a session bus, as: session.sh PROGRAM [OPTION of menu.py]... LABEL...
program=$1
shift
drives=/media/desk
mkdir -p $drives/stick
truncate -s 16M /tmp/stick.img
mkfs.ext4 -q -F /tmp/stick.img
mount -o loop /tmp/stick.img $drives/stick
dbus-monitor --session interface=org.freedesktop.Notifications >/tmp/notified &
monitor=$!
$program $drives &
/usr/bin/python3 /tmp/menu.py "$program" $drives/stick "$@"
until grep -q 'Safe to take out' /tmp/notified || ! sleep 0.2; do :; done
kill $monitor
