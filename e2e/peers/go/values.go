package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// longest text or byte string that is printed as it is; longer ones are printed by length and hash.
const longest = 1024

// argument turns JSON into what the library is given: whole numbers are int64, {"$times": n, "$text": s} is a long
// string, {"$bytes": n} is n bytes 0, 1, … 250, 0, 1, …
func argument(value interface{}) interface{} {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		fraction, _ := value.Float64()
		return fraction
	case []interface{}:
		items := make([]interface{}, len(value))
		for i, item := range value {
			items[i] = argument(item)
		}
		return items
	case map[string]interface{}:
		if count, is := value["$times"].(json.Number); is {
			times, _ := count.Int64()
			return strings.Repeat(fmt.Sprint(value["$text"]), int(times))
		}
		if count, is := value["$bytes"].(json.Number); is {
			length, _ := count.Int64()
			return pattern(length)
		}
		pairs := make(map[interface{}]interface{}, len(value))
		for key, item := range value {
			pairs[key] = argument(item)
		}
		return pairs
	}
	return value
}

// pattern is the bytes 0, 1, … 250, 0, 1, …
func pattern(length int64) []byte {
	bytes := make([]byte, length)
	for i := range bytes {
		bytes[i] = byte(i % 251)
	}
	return bytes
}

// result turns what the library gave into something that JSON can say.
func result(value interface{}) interface{} {
	switch value := value.(type) {
	case string:
		if len(value) > longest {
			return map[string]interface{}{"$text": summary([]byte(value))}
		}
	case []byte:
		return map[string]interface{}{"$bytes": summary(value)}
	case []interface{}:
		items := make([]interface{}, len(value))
		for i, item := range value {
			items[i] = result(item)
		}
		return items
	case map[interface{}]interface{}:
		pairs := make(map[string]interface{}, len(value))
		for key, item := range value {
			pairs[fmt.Sprint(key)] = result(item)
		}
		return pairs
	}
	return value
}

func summary(bytes []byte) map[string]interface{} {
	hash := sha256.Sum256(bytes)
	return map[string]interface{}{"length": len(bytes), "sha256": hex.EncodeToString(hash[:])}
}
