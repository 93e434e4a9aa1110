#!/bin/sh
# What is in a picture: detect.sh PICTURE. STREAM_SERVER and STREAM_SERVER_TOKEN say which server, and who asks.
set -eu
address=${STREAM_SERVER:-http://127.0.0.1:8080}
token=${STREAM_SERVER_TOKEN:+Authorization: Bearer $STREAM_SERVER_TOKEN}

# The picture as it is; options stand in the address.
curl --fail-with-body --silent --show-error ${token:+--header "$token"} \
  --data-binary "@$1" "$address/api/v1/detect?score_threshold=0.4"
echo

# Any number of pictures, and the options, as a form.
curl --fail-with-body --silent --show-error ${token:+--header "$token"} \
  --form "image=@$1" --form "image=@$1" --form "classes=person,cat" "$address/api/v1/detect"
echo

# The picture with its boxes.
curl --fail-with-body --silent --show-error ${token:+--header "$token"} \
  --header "Accept: image/jpeg" --data-binary "@$1" --output annotated.jpg "$address/api/v1/detect"
