"""Pairwise similarities with plain loops, one pair and one token at a time.

Slow and obvious: the oracles of the heads. Tensors in, a float out.
"""
import math


def dot(x, y):
    return sum(a * b for a, b in zip(x, y))


def cosine(x, y):
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))


def softmax(scores):
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    return [power / sum(powers) for power in powers]


def linear(layer, x):
    return [
        dot(row, x) + bias
        for row, bias in zip(layer.weight.tolist(), layer.bias.tolist())
    ]


def layer_norm(layer, x):
    mean = sum(x) / len(x)
    variance = sum((value - mean)**2 for value in x) / len(x)
    return [(value - mean) / math.sqrt(variance + layer.eps) * weight + bias
            for value, weight, bias in zip(x, layer.weight.tolist(),
                                           layer.bias.tolist())]


def kept(tokens, mask):
    """The valid tokens as lists, or all if none is valid."""
    valid = [t.tolist() for t, real in zip(tokens, mask) if real]
    return valid or tokens.tolist()


def token_weights(perceptron, tokens):
    first, _, second = perceptron
    return softmax([
        linear(second, [max(value, 0) for value in linear(first, token)])[0]
        for token in tokens
    ])


def token_interaction(head, words, word_mask, segments, segment_mask):
    words, segments = kept(words, word_mask), kept(segments, segment_mask)
    of_words = sum(
        weight * max(cosine(word, segment) for segment in segments)
        for word, weight in zip(words, token_weights(head.word_weight, words)))
    of_segments = sum(
        weight * max(cosine(word, segment) for word in words)
        for segment, weight in zip(
            segments, token_weights(head.segment_weight, segments)))
    return (of_words + of_segments) / 2


def text_conditioned_pooling(head, sentence, segments, segment_mask):
    sentence, segments = sentence.tolist(), kept(segments, segment_mask)
    query = linear(head.query, layer_norm(head.ln_input, sentence))
    segments = [layer_norm(head.ln_input, segment) for segment in segments]
    attention = softmax([
        dot(query, linear(head.key, segment)) / math.sqrt(len(query))
        for segment in segments
    ])
    values = [linear(head.value, segment) for segment in segments]
    pooled = [
        sum(weight * value[i] for weight, value in zip(attention, values))
        for i in range(len(query))
    ]
    pooled = layer_norm(head.ln_pooled, linear(head.projection, pooled))
    dense = linear(head.dense, pooled)
    pooled = layer_norm(head.ln_output,
                        [x + y for x, y in zip(pooled, dense)])
    return cosine(sentence, pooled)
