// Reads a history of tests/nemesis (lines of JSON) and asks Porcupine whether it is linearizable: the list as a whole, and
// each register. Prints "linearizable", or what is not.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

type operation struct {
	Client   string          `json:"client"`
	Kind     string          `json:"kind"`
	Key      string          `json:"key"`
	Value    json.RawMessage `json:"value"`
	Invoked  int64           `json:"invoked"`
	Returned *int64          `json:"returned"`
	Result   json.RawMessage `json:"result"`
}

// list is how many lines there are: an append tells its place, a read tells how many it saw. What the lines are is
// checked elsewhere, so that states stay small.
var list = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, in, out any) (bool, any) {
		count, told := state.(int), out.(*int)
		if in.(operation).Kind == "append" {
			return told == nil || *told == count, count + 1
		}
		return told == nil || *told == count, count
	},
}

var register = porcupine.Model{
	Init: func() any { return "null" },
	Step: func(state, in, out any) (bool, any) {
		op, told := in.(operation), out.(string)
		switch op.Kind {
		case "set":
			return true, string(op.Value)
		case "get":
			return told == "" || told == state, state
		}
		var pair [2]json.RawMessage
		if err := json.Unmarshal(op.Value, &pair); err != nil {
			panic(err)
		}
		fits := string(pair[0]) == state
		if told != "" && (told == "1") != fits {
			return false, state
		}
		if fits {
			return true, string(pair[1])
		}
		return true, state
	},
}

func number(op operation) *int {
	if op.Returned == nil {
		return nil
	}
	told := 0
	if op.Kind == "read" {
		var seen struct {
			Count int `json:"count"`
		}
		if json.Unmarshal(op.Result, &seen) != nil {
			panic(string(op.Result))
		}
		return &seen.Count
	}
	if json.Unmarshal(op.Result, &told) != nil {
		panic(string(op.Result))
	}
	return &told
}

func history(path string) (map[string][]porcupine.Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	clients, open := map[string]int{}, 0
	found := map[string][]porcupine.Operation{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var op operation
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return nil, err
		}
		if _, known := clients[op.Client]; !known {
			clients[op.Client] = len(clients)
		}
		if op.Returned == nil && (op.Kind == "read" || op.Kind == "get") {
			continue // its result is unknown
		}
		one := porcupine.Operation{ClientId: clients[op.Client], Input: op, Call: op.Invoked, Return: math.MaxInt64}
		if op.Returned != nil {
			one.Return = *op.Returned
		} else {
			open++
			one.ClientId = 1<<20 + open // it is open for ever, and the client goes on
		}
		switch op.Kind {
		case "append", "read":
			one.Output = number(op)
			found[""] = append(found[""], one)
		case "set", "get", "swap":
			one.Output = ""
			if op.Returned != nil {
				one.Output = string(op.Result)
			}
			found[op.Key] = append(found[op.Key], one)
		}
	}
	return found, nil
}

func main() {
	found, err := history(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	wrong := 0
	for key, operations := range found {
		model := register
		if key == "" {
			model = list
		}
		if got := porcupine.CheckOperationsTimeout(model, operations, 60*time.Second); got != porcupine.Ok {
			fmt.Printf("%q of %d operations: %v\n", key, len(operations), got)
			wrong++
		}
	}
	if wrong > 0 {
		os.Exit(1)
	}
	fmt.Println("linearizable")
}
