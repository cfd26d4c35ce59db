#!/bin/bash
# Waits until the group takes this instance away (scale-in, refresh) or Spot does, then stops the
# worker, which finishes what it has started, and tells the group to go on.
set -u

readonly metadata=http://169.254.169.254/latest

token=""
look() { # prints what the metadata service says, nothing if it has nothing to say
  token=$(curl --silent --fail --max-time 2 --request PUT "$metadata/api/token" \
    --header "X-aws-ec2-metadata-token-ttl-seconds: 60") || return 1
  curl --silent --fail --max-time 2 --header "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/$1"
}

until [ "$(look autoscaling/target-lifecycle-state)" = "Terminated" ] || look spot/instance-action >/dev/null; do
  sleep 5
done

systemctl disable analysis-worker # or Restart=always would bring it back
systemctl stop analysis-worker

aws autoscaling complete-lifecycle-action --region "$REGION" \
  --auto-scaling-group-name "$GROUP" --lifecycle-hook-name "$HOOK" \
  --instance-id "$(look instance-id)" --lifecycle-action-result CONTINUE

exec sleep infinity # done: a restart of this unit must not complete the action twice
