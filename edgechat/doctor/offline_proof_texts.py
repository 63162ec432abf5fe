"""The texts of the page of ``edgechat doctor --proof``, in English and Japanese."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "ja"]

TITLE: dict[Language, str] = {
    "en": "What edgechat does on this machine: evidence for IT security",
    "ja": "edgechat がこの装置で行うこと: 情報セキュリティ部門向けの証拠",
}
INTRODUCTION: dict[Language, str] = {
    "en": (
        "Below each statement are the command that proves it and the output of that command on this machine. Run the "
        "commands yourself, in this order and as the same user, to get the same output. The first command starts a "
        "second, separate edgechat with an empty home in {scratch}. The installed one is not changed."
    ),
    "ja": (
        "以下の各項目には、それを示すコマンドと、この装置での実際の出力を添えています。同じユーザーで、"
        "この順番どおりにコマンドを実行すれば、同じ結果が得られます。項目 1 は {scratch} に空のホームを持つ"
        "別の edgechat を起動するもので、導入済みの環境には一切変更を加えません。"
    ),
}
METHOD: dict[str, dict[Language, str]] = {
    "strace": {
        "en": "Method of observation: strace, which records every network call and every opened file.",
        "ja": "観測方法: strace。全プロセスについて、通信とファイルを開くシステムコールを漏れなく記録します。",
    },
    "proc": {
        "en": (
            "Method of observation: /proc, read about a hundred times a second, because strace is not available here. "
            "What is opened and closed between two readings is missed. Install strace for a complete record."
        ),
        "ja": (
            "観測方法: この装置では strace が使えないため、/proc を毎秒百回ほど調べます。その間隔より短い時間だけ"
            "開かれたものは記録されません。完全な記録には strace を導入してください。"
        ),
    },
}
STATEMENTS: dict[str, dict[Language, str]] = {
    "observe": {
        "en": "One question is asked and answered under observation, then the engine is stopped (0 means success).",
        "ja": "観測しながら質問を一つ行い、回答後にエンジンを停止します (0 は成功)。",
    },
    "sockets": {
        "en": "Kinds of sockets that were opened. AF_UNIX sockets work within this machine only.",
        "ja": "開かれたソケットの種類。AF_UNIX は装置内部の通信であり、ネットワークには届きません。",
    },
    "network": {
        "en": "Number of network sockets that were opened (IPv4, IPv6, raw packets).",
        "ja": "開かれたネットワークソケットの数 (IPv4、IPv6、生パケット)。",
    },
    "no-network": {
        "en": "The same question is answered without any network, in an empty network namespace.",
        "ja": "ネットワークがまったく存在しない環境 (空のネットワーク名前空間) でも、同じ質問に回答できます。",
    },
    "outside": {
        "en": "Files opened for writing outside that home. Python's bytecode cache is switched off.",
        "ja": "上記のホームの外で書き込み用に開かれたファイル。Python のバイトコードキャッシュは無効にしています。",
    },
    "inside": {
        "en": "Files written in that home. They contain no question or answer of `edgechat ask`.",
        "ja": "上記のホームの中に書かれたファイル。`edgechat ask` の質問と回答は含まれません。",
    },
    "directories": {
        "en": "The directories of the installed edgechat. It writes to no others, unless a command names a file.",
        "ja": "導入済みの edgechat が使うディレクトリ。コマンドで出力先を指定しない限り、ほかには書き込みません。",
    },
    "port": {
        "en": (
            "Ports: none, unless `edgechat serve` is started. Then one, by default on this address and port. Any "
            "address that other machines can reach requires a token."
        ),
        "ja": (
            "ポート: `edgechat serve` を起動しない限り、開きません。起動した場合は、指定がなければ次のアドレスと"
            "ポートのみです。この装置の外に開くアドレスでは、トークンが必須です。"
        ),
    },
    "code": {
        "en": (
            "Program files that can open a network connection. Only `edgechat models pull` and "
            "`edgechat models update` use them. (`aiohttp.web` accepts connections and opens none.)"
        ),
        "ja": (
            "ネットワーク接続を開始できるプログラムファイル。`edgechat models pull` と `edgechat models update` だけが"
            "使います (`aiohttp.web` は接続を受けるだけで、開始しません)。"
        ),
    },
    "native": {
        "en": "Number of llama.cpp libraries that can look up host names.",
        "ja": "llama.cpp のライブラリのうち、ほかの装置の名前を解決できるものの数。",
    },
    "model": {
        "en": "The SHA-256 of the model file {label}.",
        "ja": "モデルファイル {label} の SHA-256。",
    },
    "licences": {
        "en": "Models, their licences and their sources.",
        "ja": "モデル、そのライセンス、および入手元。",
    },
    "versions": {
        "en": "Version of edgechat.",
        "ja": "edgechat のバージョン。",
    },
    "packages": {
        "en": "Packages that edgechat requires, with their versions and stated licences.",
        "ja": "edgechat が必要とするパッケージのバージョンと、各パッケージが示すライセンス。",
    },
    "system": {
        "en": "The system and the user.",
        "ja": "システムとユーザー。",
    },
}
