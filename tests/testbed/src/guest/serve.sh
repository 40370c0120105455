#!/bin/sh
# Takes one script a line from the test (a word that ends the answer, and the script in base64), runs it, answers with what
# it says and its exit status. When the test's end of the port closes, the machine goes off.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin HOME=/root CHAOS_TESTBED_GUEST=1
cd /root
until [ -c /dev/vport0p1 ]; do sleep 0.05; done
exec <>/dev/vport0p1 >&0
echo READY
while read -r word script; do
  echo "$script" | base64 -d > /run/script
  sh /run/script </dev/null 2>&1
  echo "
$word $?"
done
reboot -f
